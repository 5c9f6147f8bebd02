//! What the service hears: orders that were placed, each as often as Kafka likes to deliver it.

use std::{collections::BTreeMap, time::Duration};

use prost::Message as _;
use proto::{
    cart::v1::CheckOutRequest,
    events::order::v1::OrderPlaced,
    market::v1::{Line, PricedLine},
};
use store::outbox::Event;
use testkit::{Kafka, eventually};
use uuid::Uuid;

use super::{World, lines};

fn placed(session: &str, ordered: &[(&str, u32)]) -> Event {
    let order_id = Uuid::now_v7().to_string();
    let line = |&(sku, quantity): &(&str, u32)| PricedLine { sku: sku.to_owned(), quantity, ..PricedLine::default() };
    let placed = OrderPlaced {
        order_id: order_id.clone(),
        session_id: session.to_owned(),
        lines: ordered.iter().map(line).collect(),
        version: 1,
        ..OrderPlaced::default()
    };
    Event { id: Uuid::now_v7(), topic: spine::topics::ORDER_EVENTS, key: order_id, kind: "order.placed", payload: placed.encode_to_vec() }
}

async fn until_checked_out(world: &World, cart_id: &str, times: i64) {
    eventually(&format!("{cart_id} is checked out {times} times"), Duration::from_secs(20), async || {
        let check_outs = world.check_outs(cart_id).await;
        if check_outs == times { Ok(()) } else { Err(check_outs) }
    })
    .await;
}

#[tokio::test]
async fn what_was_ordered_leaves_the_cart_once_and_the_rest_stays() {
    let kafka = Kafka::start().await;
    let world = World::with_kafka(&kafka.address()).await;
    for (sku, quantity) in [("MUG-1", 5), ("POT-7", 1), ("PAN-3", 2)] {
        world.set("s1", sku, quantity, sku).await.unwrap();
    }
    let order = placed("s1", &[("MUG-1", 2), ("POT-7", 1), ("NEVER-IN-IT", 4)]);
    for _ in 0..3 {
        kafka.publish(&order).await;
    }
    until_checked_out(&world, "s1", 1).await;
    let rest = BTreeMap::from([("MUG-1", 3), ("PAN-3", 2)]);
    assert_eq!(lines(&world.get("s1").await), rest);

    // Killed and started again: a repeat still changes nothing. The second order has the key of the first, so it is behind the repeats.
    world.service.lock().await.kill_and_restart().await;
    kafka.publish(&order).await;
    kafka.publish(&Event { key: order.key.clone(), ..placed("s1", &[("PAN-3", 1)]) }).await;
    until_checked_out(&world, "s1", 2).await;
    assert_eq!(lines(&world.get("s1").await), BTreeMap::from([("MUG-1", 3), ("PAN-3", 1)]));
}

#[tokio::test]
async fn a_message_that_makes_no_sense_is_put_aside_and_blocks_nothing() {
    let kafka = Kafka::start().await;
    let world = World::with_kafka(&kafka.address()).await;
    world.set("s1", "MUG-1", 2, "k1").await.unwrap();
    let good = placed("s1", &[("MUG-1", 2)]);
    // Another order's: what comes later for its own key follows it to the dead letters.
    let poison = Event { id: Uuid::now_v7(), key: Uuid::now_v7().to_string(), payload: vec![0xff; 9], ..good.clone() };
    kafka.publish(&poison).await;
    kafka.publish(&good).await;
    until_checked_out(&world, "s1", 1).await;
    assert!(world.get("s1").await.lines.is_empty());
    // Another key may be in another partition, which is read on its own: nothing says which of the two is heard first.
    let dead = eventually("the dead letter", Duration::from_secs(20), async || {
        let dead = kafka.everything_in("order.events.dlq").await;
        if dead.is_empty() { Err("none yet".to_owned()) } else { Ok(dead) }
    });
    assert_eq!(dead.await.iter().map(|delivery| delivery.event_id).collect::<Vec<_>>(), [poison.id]);
}

#[tokio::test]
async fn what_is_put_in_after_the_order_stays_in_when_its_event_comes() {
    let kafka = Kafka::start().await;
    let world = World::with_kafka(&kafka.address()).await;
    world.set("s1", "MUG-1", 1, "k1").await.unwrap();
    let (order, marker) = (placed("s1", &[("MUG-1", 1)]), placed("s1", &[("POT-7", 1)]));
    for _ in 0..2 {
        let request = CheckOutRequest {
            cart_id: "s1".to_owned(),
            order_id: order.key.clone(),
            lines: vec![Line { sku: "MUG-1".to_owned(), quantity: 1 }],
            idempotency_key: format!("{}/check_out", order.key),
        };
        let cart = world.client.clone().check_out(request).await.unwrap().into_inner().cart.unwrap();
        assert!(cart.lines.is_empty());
    }
    world.set("s1", "MUG-1", 1, "k2").await.unwrap();
    world.set("s1", "POT-7", 2, "k3").await.unwrap();
    kafka.publish(&order).await;
    kafka.publish(&Event { key: order.key.clone(), ..marker }).await;
    eventually("the event behind it was heard", Duration::from_secs(20), async || match lines(&world.get("s1").await).get("POT-7") {
        Some(1) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(lines(&world.get("s1").await), BTreeMap::from([("MUG-1", 1), ("POT-7", 1)]));
}
