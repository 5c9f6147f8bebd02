//! BUS-1: every accepted order has its event, published once it can be.

use std::time::Duration;

use prost::Message as _;
use proto::events::order::v1::OrderPlaced;
use testkit::{Kafka, eventually};

use super::{World, placed, request};

#[tokio::test]
async fn an_order_and_its_event_commit_together() {
    let world = World::new().await;
    let order = placed(world.place(request("s1", "k1")).await.unwrap());
    assert_eq!(world.outbox().await, [("order.placed".to_owned(), order.order_id)]);
}

#[tokio::test]
async fn events_reach_kafka_and_a_kill_of_the_relay_loses_none() {
    let kafka = Kafka::start().await;
    let mut world = World::with_kafka(&kafka.address()).await;
    let mut orders = Vec::new();
    for number in 0..20 {
        orders.push(placed(world.place(request("s1", &format!("k{number}"))).await.unwrap()).order_id);
        if number == 10 {
            world.service.kill_and_restart().await;
        }
    }
    let read = eventually("every order has its event", Duration::from_secs(20), async || {
        let read = kafka.everything_in(spine::topics::ORDER_EVENTS).await;
        let missing = orders.iter().filter(|id| !read.iter().any(|event| event.key == **id)).count();
        if missing == 0 { Ok(read) } else { Err(format!("{missing} missing; {}", world.service.log())) }
    })
    .await;
    for id in &orders {
        let events: Vec<_> = read.iter().filter(|event| event.key == *id).collect();
        assert!(!events.is_empty(), "{id} has no event");
        // Sent again after the kill it may be, but then as the same event.
        assert!(events.iter().all(|event| event.event_id == events[0].event_id && event.kind == "order.placed"));
        let event = OrderPlaced::decode(events[0].payload.clone()).unwrap();
        assert_eq!((&event.order_id, event.lines.len(), event.version), (id, 2, 1));
    }
}

#[tokio::test]
async fn an_event_too_large_for_kafka_holds_up_no_other() {
    let kafka = Kafka::start().await;
    let world = World::with_kafka(&kafka.address()).await;
    let pool = world.pool();
    sqlx::query(
        "INSERT INTO outbox (event_id, topic, key, type, payload)
         VALUES (gen_random_uuid(), $1, 'k', 'order.placed', convert_to(repeat('x', 2000000), 'UTF8'))",
    )
    .bind(spine::topics::ORDER_EVENTS)
    .execute(&pool)
    .await
    .unwrap();
    let order = placed(world.place(request("s1", "k1")).await.unwrap()).order_id;
    eventually("the event is set aside", Duration::from_secs(20), async || {
        let refused: Vec<String> = sqlx::query_scalar("SELECT key FROM outbox_refused").fetch_all(&pool).await.unwrap();
        if refused == ["k"] { Ok(()) } else { Err(format!("{refused:?}; {}", world.service.log())) }
    })
    .await;
    let read = eventually("the other event is published", Duration::from_secs(20), async || {
        let read = kafka.everything_in(spine::topics::ORDER_EVENTS).await;
        if read.is_empty() { Err(world.service.log()) } else { Ok(read) }
    })
    .await;
    // Read from the table when the slot was new, and then from the slot, it may be there twice.
    assert!(read.iter().all(|event| (&event.key, event.event_id) == (&order, read[0].event_id)), "{read:?}");
}
