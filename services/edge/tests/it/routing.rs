//! Which region answers.

use crate::{SOON, World, header, json, problem, sent};

#[tokio::test]
async fn the_header_wins_over_the_cookie_and_eu_is_the_default() {
    let world = World::new().await;
    for (region, cookie, expected) in
        [("", "", "eu"), ("us", "", "us"), ("eu", "region=us", "eu"), ("", "session=a; region=us", "us"), ("", "region=mars", "eu")]
    {
        let mut request = world.get("/");
        if !region.is_empty() {
            request = request.header("x-region", region);
        }
        if !cookie.is_empty() {
            request = request.header("cookie", cookie);
        }
        let response = sent(request).await;
        assert_eq!(header(&response, "x-served-by"), expected, "{region} {cookie}");
        assert_eq!(response.text().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn an_unknown_region_is_refused() {
    let world = World::new().await;
    let pinned = sent(world.get("/api/items").header("x-region", "mars")).await;
    assert_eq!(problem(pinned).await, (400, "EDGE_UNKNOWN_REGION".to_owned(), String::new()));
    let linked = sent(world.get("/?region=mars").header("accept", "text/html")).await;
    assert_eq!((linked.status().as_u16(), header(&linked, "content-type")), (400, "text/html; charset=utf-8"));
    assert!(linked.text().await.unwrap().contains("/errors/EDGE_UNKNOWN_REGION"));
    assert_eq!((world.eu.seen().len(), world.us.seen().len()), (0, 0));
}

#[tokio::test]
async fn a_link_sets_the_cookie_and_cleans_the_address() {
    let world = World::new().await;
    let response = sent(world.get("/items/A?page=2&region=us")).await;
    assert_eq!((response.status().as_u16(), header(&response, "location")), (303, "/items/A?page=2"));
    assert_eq!(header(&response, "set-cookie"), "region=us; Path=/; SameSite=Lax; HttpOnly");
    let api = sent(world.get("/api/items?region=us")).await;
    assert_eq!(api.status().as_u16(), 200);
    assert_eq!(world.eu.seen()[0].target, "/api/items?region=us");
}

#[tokio::test]
async fn operators_see_both_regions() {
    let world = World::new().await;
    let regions = json(sent(world.get("/edge/regions")).await).await;
    assert_eq!(regions["regions"][1]["region"], "us");
    assert_eq!(regions["regions"][1]["healthy"], true);
    assert_eq!(regions["regions"][1]["address"], world.us.address());
    assert_eq!(world.us.seen().len(), 0);
}

#[tokio::test]
async fn the_country_of_a_new_shopper_chooses_the_region() {
    let world = World::with(&[("PROBE_INTERVAL", "1h"), ("GEO_HEADER", "CF-IPCountry")]).await;
    for (country, cookie, expected) in
        [("BR", "", "us"), ("DE", "", "eu"), ("XX", "", "eu"), ("BR", "region=eu", "eu"), ("DE", "region=us", "us")]
    {
        let request = world.get("/").header("cf-ipcountry", country).header("cookie", cookie);
        assert_eq!(header(&sent(request).await, "x-served-by"), expected, "{country} {cookie}");
    }
    let ours = sent(world.get("/").header("cloudfront-viewer-country", "BR")).await;
    assert_eq!(header(&ours, "x-served-by"), "eu", "another header was set");
}

#[tokio::test]
async fn those_who_say_nothing_are_sent_to_the_nearest_region() {
    let world = World::with(&[("PROBE_INTERVAL", "20ms")]).await;
    world.eu.move_away(150);
    testkit::eventually("us is nearer", SOON, async || {
        let regions = json(sent(world.get("/edge/regions")).await).await;
        if regions["nearest"] == "us" { Ok(()) } else { Err(regions.to_string()) }
    })
    .await;
    assert_eq!(header(&sent(world.get("/")).await, "x-served-by"), "us");
    assert_eq!(header(&sent(world.get("/").header("cookie", "region=eu")).await, "x-served-by"), "eu");
    world.eu.move_away(0);
    world.us.move_away(150);
    testkit::eventually("eu is nearer again", SOON, async || {
        let regions = json(sent(world.get("/edge/regions")).await).await;
        if regions["nearest"] == "eu" { Ok(()) } else { Err(regions.to_string()) }
    })
    .await;
}
