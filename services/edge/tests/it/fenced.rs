//! Answers that say that nothing was done because the region may not write.

use reqwest::Body;

use crate::{World, header, json, sent};

#[tokio::test]
async fn what_a_region_may_not_do_is_done_by_the_other_with_a_key_or_without() {
    let world = World::new().await;
    world.eu.fence(true);
    for key in ["k-1", ""] {
        let request = world.post("/echo").body("order");
        let request = if key.is_empty() { request } else { request.header("idempotency-key", key) };
        let response = sent(request).await;
        assert_eq!((response.status().as_u16(), header(&response, "x-served-by")), (200, "us"), "{key}");
        assert_eq!(response.text().await.unwrap(), "order");
    }
    assert_eq!((world.eu.seen().len(), world.us.seen().len()), (2, 2));
}

#[tokio::test]
async fn a_key_is_remembered_where_it_was_done_and_not_where_it_was_refused() {
    let world = World::new().await;
    let order = async || sent(world.post("/api/orders").header("idempotency-key", "k").body("order")).await;
    world.eu.fence(true);
    assert_eq!(header(&order().await, "x-served-by"), "us");
    world.eu.fence(false);
    assert_eq!(header(&order().await, "x-served-by"), "us");
}

#[tokio::test]
async fn a_handover_is_waited_for() {
    let world = World::new().await;
    world.eu.fence(true);
    world.us.fence(true);
    let order = tokio::spawn(sent(world.post("/api/orders").header("idempotency-key", "k").body("order")));
    testkit::eventually("both refused", crate::SOON, async || {
        if world.eu.seen().is_empty() || world.us.seen().is_empty() { Err("not yet") } else { Ok(()) }
    })
    .await;
    world.us.fence(false);
    assert_eq!(header(&order.await.unwrap(), "x-served-by"), "us");
}

#[tokio::test]
async fn after_the_time_is_up_the_client_hears_what_the_region_said() {
    let world = World::with(&[("PROBE_INTERVAL", "1h"), ("RESPONSE_TIMEOUT", "500ms")]).await;
    world.eu.fence(true);
    let response = sent(world.post("/api/orders").header("idempotency-key", "k").header("x-region", "eu").body("order")).await;
    assert_eq!((header(&response, "x-region-fenced"), header(&response, "x-served-by")), ("1", "eu"));
    assert_eq!(response.status().as_u16(), 503);
    assert_eq!(json(response).await["reason"], "REGION_FENCED");
    assert_eq!(world.us.seen().len(), 0);
    assert!(world.eu.seen().len() > 1, "a handover takes a moment");
}

#[tokio::test]
async fn a_body_that_is_gone_cannot_be_sent_again() {
    let world = World::new().await;
    world.eu.fence(true);
    let pieces = futures::stream::iter([Ok::<_, String>("or"), Ok("der")]);
    let response = sent(world.post("/echo").body(Body::wrap_stream(pieces))).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-served-by")), (503, "eu"));
    assert_eq!(world.us.seen().len(), 0);
}

#[tokio::test]
async fn doubt_is_not_ended_by_a_fence() {
    let world = World::with(&[("PROBE_INTERVAL", "1h"), ("RESPONSE_TIMEOUT", "500ms")]).await;
    world.eu.break_next(1);
    world.eu.fence(true);
    let response = sent(world.post("/api/orders").header("idempotency-key", "k").body("order")).await;
    assert_eq!(crate::problem(response).await, (503, "EDGE_OUTCOME_UNKNOWN".to_owned(), "eu".to_owned()));
    assert_eq!(world.us.seen().len(), 0);
}
