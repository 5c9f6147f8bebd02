//! What the service hears: orders that ended, each as often as Kafka likes to deliver it.

use std::{collections::BTreeSet, time::Duration};

use prost::Message as _;
use proto::events::order::v1::{OrderCancelled, OrderShipped};
use store::outbox::Event;
use testkit::{Kafka, eventually};
use uuid::Uuid;

use super::{World, new_order};

fn shipped(order_id: &str) -> Event {
    let payload = OrderShipped { order_id: order_id.to_owned(), version: 3 }.encode_to_vec();
    Event { id: Uuid::now_v7(), topic: spine::topics::ORDER_EVENTS, key: order_id.to_owned(), kind: "order.shipped", payload }
}

fn cancelled(order_id: &str) -> Event {
    let payload = OrderCancelled { order_id: order_id.to_owned(), reason: "PAYMENT_DECLINED".to_owned(), version: 2 }.encode_to_vec();
    Event { id: Uuid::now_v7(), topic: spine::topics::ORDER_EVENTS, key: order_id.to_owned(), kind: "order.cancelled", payload }
}

async fn until_said(world: &World, order_id: &str, kind: &str) {
    eventually(&format!("{kind} of {order_id}"), Duration::from_secs(20), async || {
        let events = world.events_of(order_id).await;
        if events.last().is_some_and(|last| last == kind) { Ok(()) } else { Err(format!("{events:?}")) }
    })
    .await;
}

#[tokio::test]
async fn an_ended_order_ends_its_reservation_once() {
    let kafka = Kafka::start().await;
    let world = World::with_kafka(&kafka.address()).await;
    world.put("MUG-1", 10).await;
    let (sold, given_back, last) = (new_order(), new_order(), new_order());
    for order in [&sold, &given_back, &last] {
        world.reserve(order, &[("MUG-1", 2)]).await.unwrap();
    }

    let (shipped, cancelled) = (shipped(&sold), cancelled(&given_back));
    for event in [&shipped, &cancelled, &shipped, &cancelled] {
        kafka.publish(event).await;
    }
    until_said(&world, &sold, "inventory.committed").await;
    until_said(&world, &given_back, "inventory.released").await;
    assert_eq!(world.in_stock("MUG-1").await, 6);

    // Killed and started again it goes on where it was; a third delivery changes nothing either.
    world.service.lock().await.kill_and_restart().await;
    kafka.publish(&shipped).await;
    kafka.publish(&self::shipped(&last)).await;
    until_said(&world, &last, "inventory.committed").await;
    assert_eq!(world.events_of(&sold).await, ["inventory.reserved", "inventory.committed"]);
    assert_eq!(world.in_stock("MUG-1").await, 6);
    world.assert_stock_is_conserved().await;
}

#[tokio::test]
async fn a_message_that_makes_no_sense_is_put_aside_and_blocks_nothing() {
    let kafka = Kafka::start().await;
    let world = World::with_kafka(&kafka.address()).await;
    world.put("MUG-1", 10).await;
    let order = new_order();
    world.reserve(&order, &[("MUG-1", 2)]).await.unwrap();

    // Enough keys that every partition has one of them in front of what comes after.
    let poison: Vec<Event> = (0..30).map(|number| shipped(&format!("no-order-{number}"))).collect();
    for event in &poison {
        kafka.publish(event).await;
    }
    kafka.publish(&shipped(&order)).await;
    until_said(&world, &order, "inventory.committed").await;
    let dead = eventually("the dead letters", Duration::from_secs(20), async || {
        let dead = kafka.everything_in("order.events.dlq").await;
        if dead.len() == poison.len() { Ok(dead) } else { Err(format!("{} dead letters", dead.len())) }
    });
    let dead: BTreeSet<Uuid> = dead.await.into_iter().map(|delivery| delivery.event_id).collect();
    assert_eq!(dead, poison.iter().map(|event| event.id).collect());
}
