//! What a region sees of a request, and a client of an answer.

use crate::{World, header, sent};

#[tokio::test]
async fn headers_of_one_hop_stay_there_in_both_directions() {
    let world = World::new().await;
    let request = world.get("/hops").header("connection", "keep-alive, x-hop").header("x-hop", "1").header("te", "trailers");
    let response = sent(request.header("x-end", "2").header("proxy-connection", "keep-alive")).await;
    let seen = &world.eu.seen()[0].headers;
    for name in ["connection", "x-hop", "te", "proxy-connection"] {
        assert!(!seen.contains_key(name), "{name} was passed on");
    }
    assert_eq!(seen["x-end"], "2");
    for name in ["connection", "x-secret", "keep-alive"] {
        assert!(!response.headers().contains_key(name), "{name} came back");
    }
    assert_eq!((header(&response, "x-kept"), header(&response, "x-served-by")), ("2", "eu"));
}

#[tokio::test]
async fn the_region_hears_of_the_client_from_the_edge_alone() {
    let world = World::new().await;
    let request = world.get("/").header("host", "shop.test").header("x-forwarded-for", "6.6.6.6").header("forwarded", "for=6.6.6.6");
    sent(request.header("x-forwarded-proto", "https").header("x-forwarded-host", "evil.test")).await;
    let seen = &world.eu.seen()[0].headers;
    for (name, value) in [("host", "shop.test"), ("x-forwarded-host", "shop.test"), ("x-forwarded-proto", "http")] {
        assert_eq!(seen[name], value, "{name}");
    }
    assert!(seen.get_all("x-forwarded-for").into_iter().all(|value| value != "6.6.6.6"));
    assert!(!seen.contains_key("forwarded"));
}

#[tokio::test]
async fn a_trace_is_continued_or_begun() {
    let world = World::new().await;
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    sent(world.get("/").header("traceparent", format!("00-{trace}-{span}-01"))).await;
    sent(world.get("/")).await;
    let parents: Vec<String> = world.eu.seen().iter().map(|seen| seen.headers["traceparent"].to_str().unwrap().to_owned()).collect();
    assert!(parents[0].starts_with(&format!("00-{trace}-")) && !parents[0].contains(span), "{parents:?}");
    assert!(parents[1].len() == 55 && !parents[1].contains(trace), "{parents:?}");
}

#[tokio::test]
async fn heads_and_statuses_pass_as_they_are() {
    let world = World::new().await;
    let response = sent(world.request(reqwest::Method::HEAD, "/")).await;
    assert_eq!((response.status().as_u16(), header(&response, "content-length")), (200, "2"));
    assert_eq!(world.eu.seen()[0].method, "HEAD");
}
