//! Regions that go and come back.

use reqwest::Response;
use tokio::task::JoinHandle;

use crate::{SOON, World, header, problem, sent};

#[tokio::test]
async fn a_region_that_stops_is_passed_over_from_the_next_request_on() {
    let mut world = World::new().await;
    world.eu.stop().await;
    let read = sent(world.get("/")).await;
    assert_eq!((read.status().as_u16(), header(&read, "x-served-by")), (200, "us"));
    world.until("the refused connection counts", ["down", "healthy"]).await;
    let write = sent(world.post("/api/orders").header("idempotency-key", "k").body("order")).await;
    assert_eq!((write.status().as_u16(), header(&write, "x-served-by")), (200, "us"));
    assert_eq!(world.us.seen().len(), 2);
}

#[tokio::test]
async fn a_write_without_a_key_moves_on_when_there_was_no_connection() {
    let mut world = World::new().await;
    world.eu.stop().await;
    let response = sent(world.post("/echo").body("x".repeat(200_000))).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-served-by")), (200, "us"));
    assert_eq!(response.text().await.unwrap().len(), 200_000);
}

#[tokio::test]
async fn a_pinned_region_that_is_down_is_named() {
    let mut world = World::new().await;
    world.us.stop().await;
    for attempt in ["while it was thought healthy", "while it is known to be down"] {
        let response = sent(world.get("/api/items").header("x-region", "us")).await;
        assert_eq!(header(&response, "retry-after"), "1");
        let text = response.text().await.unwrap();
        assert!(text.contains("EDGE_REGION_DOWN") && text.contains("region us is down"), "{attempt}: {text}");
    }
    assert_eq!(world.eu.seen().len(), 0);
}

#[tokio::test]
async fn probes_find_out_that_a_region_went_and_came_back() {
    let mut world = World::with(&[("PROBE_INTERVAL", "50ms")]).await;
    world.eu.stop().await;
    world.until("eu is down", ["down", "healthy"]).await;
    world.eu.restart().await;
    world.until("eu is back", ["healthy", "healthy"]).await;
    assert_eq!(header(&sent(world.get("/")).await, "x-served-by"), "eu");
}

#[tokio::test]
async fn an_unready_region_is_left_to_those_who_ask_for_it() {
    let world = World::with(&[("PROBE_INTERVAL", "50ms")]).await;
    world.eu.become_unready();
    world.until("eu is unready", ["unready", "healthy"]).await;
    assert_eq!(header(&sent(world.get("/")).await, "x-served-by"), "us");
    assert_eq!(header(&sent(world.get("/").header("x-region", "eu")).await, "x-served-by"), "eu");
}

#[tokio::test]
async fn a_wrong_opinion_of_both_regions_is_no_outage() {
    let world = World::with(&[("PROBE_INTERVAL", "50ms")]).await;
    world.eu.become_unready();
    world.us.become_unready();
    world.until("both are unready", ["unready", "unready"]).await;
    let response = sent(world.get("/").header("cookie", "region=us")).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-served-by")), (200, "us"));
}

#[tokio::test]
async fn with_both_regions_down_people_are_told_in_plain_words() {
    let mut world = World::new().await;
    world.eu.stop().await;
    world.us.stop().await;
    let response = sent(world.get("/").header("accept", "text/html")).await;
    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (503, "1"));
    assert!(response.text().await.unwrap().contains("The shop is away"));
    let response = sent(world.post("/api/orders").header("idempotency-key", "k").body("order")).await;
    assert_eq!(problem(response).await, (503, "EDGE_REGION_DOWN".to_owned(), String::new()));
}

#[tokio::test]
async fn a_read_that_waits_for_a_dying_region_is_answered_by_the_other() {
    let mut world = World::new().await;
    let waiting = held_in_eu(&world).await;
    world.us.go_on();
    world.eu.stop().await;
    assert_eq!(header(&waiting.await.unwrap(), "x-served-by"), "us");
}

#[tokio::test]
async fn a_read_that_waits_for_a_hanging_region_is_answered_by_the_other() {
    let world = World::with(&[("PROBE_INTERVAL", "50ms"), ("PROBE_TIMEOUT", "200ms")]).await;
    let waiting = held_in_eu(&world).await;
    world.us.go_on();
    world.eu.fall_silent();
    assert_eq!(header(&waiting.await.unwrap(), "x-served-by"), "us");
    let pinned = sent(world.get("/api/items").header("x-region", "eu")).await;
    assert_eq!(problem(pinned).await, (503, "EDGE_REGION_DOWN".to_owned(), String::new()));
}

/// A read that eu has and does not answer.
async fn held_in_eu(world: &World) -> JoinHandle<Response> {
    let waiting = tokio::spawn(sent(world.get("/held")));
    testkit::eventually("eu has the request", SOON, async || if world.eu.seen().is_empty() { Err("not yet") } else { Ok(()) }).await;
    waiting
}
