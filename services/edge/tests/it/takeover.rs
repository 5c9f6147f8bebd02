//! Homes that change hands: who gets new shoppers, and where an order goes whose answer was lost.

use reqwest::{Method, Response};
use tokio::task::JoinHandle;

use crate::{Registrar, SOON, World, header, json, problem, sent};

const QUICK: (&str, &str) = ("PROBE_INTERVAL", "50ms");
const OFTEN: (&str, &str) = ("LEASE_INTERVAL", "50ms");
const NORMAL: [(&str, u64); 2] = [("eu", 1), ("us", 1)];
const TAKEN_OVER: [(&str, u64); 2] = [("us", 2), ("us", 1)];
const FAILED_BACK: [(&str, u64); 2] = [("eu", 3), ("us", 1)];

/// An edge whose regions tell that each holds its own home.
async fn world(settings: &[(&str, &str)]) -> (World, Registrar, Registrar) {
    let (eu, us) = (Registrar::start(NORMAL).await, Registrar::start(NORMAL).await);
    let (eu_address, us_address) = (eu.address(), us.address());
    let mut all = vec![QUICK, OFTEN, ("REGION_EU_ADDR", eu_address.as_str()), ("REGION_US_ADDR", us_address.as_str())];
    all.extend(settings);
    (World::with(&all).await, eu, us)
}

/// Waits for the edge to know this holder of the home of eu.
async fn known(world: &World, holder: Option<&str>) {
    testkit::eventually("the holder is known", SOON, async || {
        let homes = json(sent(world.get("/edge/regions")).await).await;
        let known = homes["homes"][0]["holder"].as_str();
        if known == holder { Ok(()) } else { Err(format!("{homes}")) }
    })
    .await;
}

/// An order that eu has and does not answer.
async fn order_held_in_eu(world: &World, key: &str) -> JoinHandle<Response> {
    let order = world.post("/held").header("idempotency-key", key.to_owned()).header("x-session", "ada").body("order");
    let waiting = tokio::spawn(sent(order));
    testkit::eventually("eu has the order", SOON, async || if world.eu.seen().is_empty() { Err("not yet") } else { Ok(()) }).await;
    waiting
}

#[tokio::test]
async fn an_order_whose_region_dies_is_repeated_where_its_home_is_held() {
    let (mut world, _, us) = world(&[]).await;
    known(&world, Some("eu")).await;
    let waiting = order_held_in_eu(&world, "k-1").await;
    world.us.go_on();
    world.eu.stop().await;
    world.until("eu is known to be down", ["down", "healthy"]).await;
    assert_eq!(world.us.seen().len(), 0, "eu holds its home still");
    us.tell(TAKEN_OVER);
    let response = waiting.await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "x-served-by")), (200, "us"));
    let (first, second) = (world.eu.seen().remove(0), world.us.seen().remove(0));
    assert_eq!((first.method, first.target, first.body), (second.method, second.target, second.body));
    for name in ["idempotency-key", "x-session"] {
        assert_eq!(first.headers[name], second.headers[name]);
    }
}

#[tokio::test]
async fn an_order_does_not_wait_for_a_region_that_lost_its_home() {
    let (world, _, us) = world(&[]).await;
    known(&world, Some("eu")).await;
    let waiting = order_held_in_eu(&world, "k-1").await;
    world.us.go_on();
    us.tell(TAKEN_OVER);
    assert_eq!(header(&waiting.await.unwrap(), "x-served-by"), "us");
}

#[tokio::test]
async fn an_order_whose_region_comes_back_is_repeated_there() {
    let (mut world, ..) = world(&[]).await;
    let waiting = order_held_in_eu(&world, "k-1").await;
    world.eu.stop().await;
    world.until("eu is known to be down", ["down", "healthy"]).await;
    world.eu.restart().await;
    world.eu.go_on();
    let response = waiting.await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "x-served-by")), (200, "eu"));
    assert_eq!((world.eu.seen().len(), world.us.seen().len()), (2, 0));
}

#[tokio::test]
async fn a_key_follows_its_home() {
    let (mut world, eu, us) = world(&[("RESPONSE_TIMEOUT", "1s")]).await;
    let write = async |world: &World| sent(world.post("/api/orders").header("idempotency-key", "k-7").body("order")).await;
    assert_eq!(header(&write(&world).await, "x-served-by"), "eu");
    world.eu.stop().await;
    assert_eq!(problem(write(&world).await).await, (503, "EDGE_OUTCOME_UNKNOWN".to_owned(), "eu".to_owned()));
    us.tell(TAKEN_OVER);
    known(&world, Some("us")).await;
    assert_eq!(header(&write(&world).await, "x-served-by"), "us");
    world.eu.restart().await;
    world.until("eu is back, and holds nothing", ["fenced", "healthy"]).await;
    assert_eq!(header(&write(&world).await, "x-served-by"), "us");
    eu.tell(FAILED_BACK);
    known(&world, Some("eu")).await;
    assert_eq!(header(&write(&world).await, "x-served-by"), "us", "it has its home there now");
}

#[tokio::test]
async fn a_region_without_a_home_gets_no_new_shoppers() {
    let (world, eu, us) = world(&[]).await;
    us.tell(TAKEN_OVER);
    world.until("eu holds nothing", ["fenced", "healthy"]).await;
    let regions = json(sent(world.get("/edge/regions")).await).await;
    assert_eq!((&regions["homes"][0]["holder"], &regions["homes"][0]["epoch"]), (&"us".into(), &2.into()));
    for cookie in ["", "region=eu"] {
        assert_eq!(header(&sent(world.get("/").header("cookie", cookie)).await, "x-served-by"), "us", "{cookie}");
    }
    assert_eq!(header(&sent(world.get("/").header("x-region", "eu")).await, "x-served-by"), "eu");
    eu.tell(FAILED_BACK);
    world.until("eu holds its home again", ["healthy", "healthy"]).await;
    assert_eq!(header(&sent(world.get("/")).await, "x-served-by"), "eu");
}

#[tokio::test]
async fn without_a_word_from_the_region_services_probes_alone_count() {
    let (world, eu, us) = world(&[]).await;
    us.tell(TAKEN_OVER);
    world.until("eu holds nothing", ["fenced", "healthy"]).await;
    drop((eu, us));
    world.until("what was said is old", ["healthy", "healthy"]).await;
    known(&world, None).await;
    assert_eq!(header(&sent(world.get("/")).await, "x-served-by"), "eu");
}

#[tokio::test]
async fn a_region_without_a_home_still_reads_and_changes_carts_when_it_is_alone() {
    let (mut world, _, us) = world(&[]).await;
    us.tell(TAKEN_OVER);
    world.until("eu holds nothing", ["fenced", "healthy"]).await;
    world.us.stop().await;
    world.until("us is down", ["fenced", "down"]).await;
    let cart = sent(world.request(Method::PUT, "/api/cart/lines/A").header("idempotency-key", "k").body("{}")).await;
    assert_eq!((cart.status().as_u16(), header(&cart, "x-served-by")), (200, "eu"));
}

#[tokio::test]
async fn a_shopper_keeps_the_session_across_regions() {
    let (mut world, _, us) = world(&[]).await;
    let visit = async |world: &World| sent(world.get("/cart").header("cookie", "session=ada; region=eu")).await;
    assert_eq!(header(&visit(&world).await, "x-served-by"), "eu");
    world.eu.stop().await;
    assert_eq!(header(&visit(&world).await, "x-served-by"), "us", "at once");
    us.tell(TAKEN_OVER);
    world.eu.restart().await;
    world.until("eu is back, and holds nothing", ["fenced", "healthy"]).await;
    assert_eq!(header(&visit(&world).await, "x-served-by"), "us");
    assert!(world.us.seen().iter().all(|seen| seen.headers["cookie"] == "session=ada; region=eu"));
}

#[tokio::test]
async fn two_clicks_while_a_region_dies_are_one_order() {
    let (mut world, _, us) = world(&[]).await;
    known(&world, Some("eu")).await;
    let first = order_held_in_eu(&world, "k-1").await;
    world.eu.stop().await;
    let second = tokio::spawn(sent(world.post("/held").header("idempotency-key", "k-1").header("x-session", "ada").body("order")));
    world.until("eu is known to be down", ["down", "healthy"]).await;
    assert_eq!(world.us.seen().len(), 0, "the first one may have been done in eu");
    us.tell(TAKEN_OVER);
    testkit::eventually("both are answered", SOON, async || {
        // Lets one of them go on, whichever it is.
        world.us.go_on();
        if first.is_finished() && second.is_finished() { Ok(()) } else { Err(format!("us has {} of 2", world.us.seen().len())) }
    })
    .await;
    for answer in [first, second] {
        assert_eq!(header(&answer.await.unwrap(), "x-served-by"), "us");
    }
}
