//! Writes whose answers are lost.

use reqwest::Method;

use crate::{World, header, problem, sent};

#[tokio::test]
async fn a_write_that_may_have_been_done_is_never_sent_to_the_other_region() {
    let world = World::with(&[("PROBE_INTERVAL", "1h"), ("RESPONSE_TIMEOUT", "1s")]).await;
    world.eu.break_next(1000);
    let response = sent(world.post("/api/orders").header("idempotency-key", "k-1").body("order")).await;
    assert_eq!(header(&response, "retry-after"), "1");
    assert_eq!(problem(response).await, (503, "EDGE_OUTCOME_UNKNOWN".to_owned(), "eu".to_owned()));
    assert!(world.eu.seen().len() > 2 && world.us.seen().is_empty());
}

#[tokio::test]
async fn a_keyed_change_of_a_cart_is_done_in_the_other_region_at_once() {
    let world = World::new().await;
    for method in [Method::PUT, Method::DELETE] {
        world.eu.break_next(1);
        let change = world.request(method, "/api/cart/lines/A").header("idempotency-key", "k").body(r#"{"quantity":2}"#);
        let response = sent(change).await;
        assert_eq!((response.status().as_u16(), header(&response, "x-served-by")), (200, "us"));
    }
    let (eu, us) = (world.eu.seen(), world.us.seen());
    assert_eq!((eu.len(), us.len()), (2, 2));
    assert_eq!((&eu[0].body, &eu[0].headers["idempotency-key"]), (&us[0].body, &us[0].headers["idempotency-key"]));
}

#[tokio::test]
async fn the_form_of_an_order_is_repeated_by_the_key_in_its_address() {
    let world = World::new().await;
    for address in ["/checkout?key=k-1", "/orders/1/cancel?key=k-2", "/orders/1/return?key=k-3"] {
        world.eu.break_next(1);
        let response = sent(world.post(address).body("key=k")).await;
        assert_eq!((response.status().as_u16(), header(&response, "x-served-by")), (200, "eu"), "{address}");
    }
    assert_eq!((world.eu.seen().len(), world.us.seen().len()), (6, 0));
}

#[tokio::test]
async fn a_write_with_a_key_is_sent_again_as_it_was() {
    let world = World::new().await;
    world.eu.break_next(1);
    let response = sent(world.post("/echo").header("idempotency-key", "k-1").body("order")).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-served-by")), (200, "eu"));
    assert_eq!(response.text().await.unwrap(), "order");
    let [first, second] = world.eu.seen().try_into().unwrap();
    assert_eq!((first.method, first.target, first.body), (second.method, second.target, second.body));
    assert_eq!(first.headers["idempotency-key"], second.headers["idempotency-key"]);
    assert_eq!(world.us.seen().len(), 0);
}

#[tokio::test]
async fn a_write_without_a_key_is_sent_once() {
    let world = World::new().await;
    world.eu.break_next(1);
    let response = sent(world.post("/cart/lines/A").body("quantity=1")).await;
    let (region, text) = (header(&response, "x-served-by").to_owned(), response.text().await.unwrap());
    assert_eq!(region, "eu");
    assert!(text.contains("EDGE_OUTCOME_UNKNOWN") && text.contains("before you send it again"), "{text}");
    assert_eq!((world.eu.seen().len(), world.us.seen().len()), (1, 0));
}

#[tokio::test]
async fn a_large_write_is_sent_once_even_with_a_key() {
    let world = World::new().await;
    world.eu.break_next(1);
    let response = sent(world.post("/api/orders").header("idempotency-key", "k").body("x".repeat(100_000))).await;
    assert_eq!(problem(response).await.1, "EDGE_OUTCOME_UNKNOWN");
    assert_eq!((world.eu.seen().len(), world.us.seen().len()), (1, 0));
    assert_eq!(world.eu.seen()[0].body.len(), 100_000);
}

#[tokio::test]
async fn a_read_whose_connection_breaks_is_answered_by_the_other_region() {
    let world = World::new().await;
    world.eu.break_next(1);
    let response = sent(world.get("/")).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-served-by")), (200, "us"));
    world.eu.break_next(1);
    let response = sent(world.get("/").header("x-region", "eu")).await;
    assert_eq!((response.status().as_u16(), header(&response, "x-served-by")), (200, "eu"));
    assert_eq!((world.eu.seen().len(), world.us.seen().len()), (3, 1));
}

#[tokio::test]
async fn an_answer_that_does_not_come_ends_the_wait() {
    let world = World::with(&[("PROBE_INTERVAL", "1h"), ("RESPONSE_TIMEOUT", "300ms")]).await;
    let read = sent(world.get("/held")).await;
    assert_eq!(problem(read).await, (504, "DEADLINE_EXCEEDED".to_owned(), "eu".to_owned()));
    let write = sent(world.post("/held").header("idempotency-key", "k")).await;
    assert_eq!(problem(write).await, (503, "EDGE_OUTCOME_UNKNOWN".to_owned(), "eu".to_owned()));
    assert_eq!((world.eu.seen().len(), world.us.seen().len()), (2, 0));
}

#[tokio::test]
async fn an_attempt_that_hangs_is_followed_by_another() {
    let world = World::with(&[("PROBE_INTERVAL", "1h"), ("ATTEMPT_TIMEOUT", "300ms")]).await;
    world.us.go_on();
    let read = sent(world.get("/held")).await;
    assert_eq!((read.status().as_u16(), header(&read, "x-served-by")), (200, "us"));
    let order = tokio::spawn(sent(world.post("/held").header("idempotency-key", "k")));
    let again = || if world.eu.seen().len() < 3 { Err("not yet") } else { Ok(()) };
    testkit::eventually("eu has the order again", crate::SOON, async || again()).await;
    world.eu.go_on();
    assert_eq!(header(&order.await.unwrap(), "x-served-by"), "eu");
    assert_eq!(world.us.seen().len(), 1);
}

#[tokio::test]
async fn a_key_stays_with_the_region_that_had_it_also_when_that_is_gone() {
    let mut world = World::with(&[("PROBE_INTERVAL", "50ms"), ("RESPONSE_TIMEOUT", "1s")]).await;
    let write = async |world: &World| sent(world.post("/api/orders").header("idempotency-key", "k-7").body("order")).await;
    assert_eq!(header(&write(&world).await, "x-served-by"), "eu");
    world.eu.stop().await;
    assert_eq!(problem(write(&world).await).await, (503, "EDGE_OUTCOME_UNKNOWN".to_owned(), "eu".to_owned()));
    world.until("eu is known to be down", ["down", "healthy"]).await;
    assert_eq!(problem(write(&world).await).await, (503, "EDGE_OUTCOME_UNKNOWN".to_owned(), "eu".to_owned()));
    assert_eq!(world.us.seen().len(), 0);
    let newer = sent(world.post("/api/orders").header("idempotency-key", "k-8").body("order")).await;
    assert_eq!(header(&newer, "x-served-by"), "us");
    world.eu.restart().await;
    world.until("eu is back", ["healthy", "healthy"]).await;
    assert_eq!(header(&write(&world).await, "x-served-by"), "eu");
    let newer = sent(world.post("/api/orders").header("idempotency-key", "k-8").body("order")).await;
    assert_eq!(header(&newer, "x-served-by"), "us", "it stays where it was done");
}

#[tokio::test]
async fn a_shopper_whose_change_was_made_elsewhere_goes_on_there() {
    let world = World::new().await;
    let put = || world.request(Method::PUT, "/api/cart/lines/MUG").header("idempotency-key", "k").header("x-session", "ada").body("{}");
    world.eu.break_next(1);
    assert_eq!(header(&sent(put()).await, "x-served-by"), "us");
    let read =
        async |session: &'static str| header(&sent(world.get("/api/cart").header("x-session", session)).await, "x-served-by").to_owned();
    assert_eq!((read("ada").await, read("bob").await), ("us".to_owned(), "eu".to_owned()));
    let order = world.post("/api/orders").header("idempotency-key", "o").header("x-session", "ada").body("order");
    assert_eq!(header(&sent(order).await, "x-served-by"), "us");
    let pinned = world.get("/api/cart").header("x-session", "ada").header("x-region", "eu");
    assert_eq!(header(&sent(pinned).await, "x-served-by"), "eu");
}
