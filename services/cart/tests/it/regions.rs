//! Two regions that change one cart without asking each other.

use std::{collections::BTreeMap, time::Duration};

use prost::Message as _;
use proto::{
    cart::v1::{Cart, CheckOutRequest},
    events::order::v1::OrderPlaced,
    market::v1::{Line, PricedLine},
};
use store::outbox::Event;
use testkit::{Kafka, eventually};
use uuid::Uuid;

use super::{World, lines};

/// Where the other region's changes are heard.
const KAFKA: &str = "PEER_KAFKA_BOOTSTRAP_SERVERS";
const SOON: Duration = Duration::from_secs(20);

/// Both regions; each hears the other's Kafka.
struct Regions {
    eu: World,
    us: World,
    eu_kafka: Kafka,
    us_kafka: Kafka,
}

impl Regions {
    async fn new() -> Self {
        let (eu_kafka, us_kafka) = (Kafka::start().await, Kafka::start().await);
        let eu = World::in_region("eu", &eu_kafka.address(), &[(KAFKA, &us_kafka.address())]).await;
        let us = World::in_region("us", &us_kafka.address(), &[(KAFKA, &eu_kafka.address())]).await;
        Self { eu, us, eu_kafka, us_kafka }
    }

    /// The cart once both regions show these lines.
    async fn agree(&self, cart_id: &str, expected: &[(&str, u32)]) {
        let expected = BTreeMap::from_iter(expected.iter().copied());
        eventually("both regions show the same cart", SOON, async || {
            let (eu, us) = (self.eu.get(cart_id).await, self.us.get(cart_id).await);
            if lines(&eu) == expected && lines(&us) == expected { Ok(()) } else { Err(format!("{eu:?} {us:?}")) }
        })
        .await;
    }
}

fn bought(cart_id: &str, order_id: Uuid, ordered: &[(&str, u32)]) -> CheckOutRequest {
    let lines = ordered.iter().map(|(sku, quantity)| Line { sku: (*sku).to_owned(), quantity: *quantity }).collect();
    let (order_id, idempotency_key) = (order_id.to_string(), format!("{order_id}/check_out"));
    CheckOutRequest { cart_id: cart_id.to_owned(), order_id, lines, idempotency_key }
}

fn placed(cart_id: &str, order_id: Uuid, ordered: &[(&str, u32)]) -> Event {
    let line = |&(sku, quantity): &(&str, u32)| PricedLine { sku: sku.to_owned(), quantity, ..PricedLine::default() };
    let placed = OrderPlaced {
        order_id: order_id.to_string(),
        session_id: cart_id.to_owned(),
        lines: ordered.iter().map(line).collect(),
        version: 1,
        ..OrderPlaced::default()
    };
    let key = order_id.to_string();
    Event { id: Uuid::now_v7(), topic: spine::topics::ORDER_EVENTS, key, kind: "order.placed", payload: placed.encode_to_vec() }
}

#[tokio::test]
async fn what_one_region_changes_the_other_has_and_what_both_change_adds_up() {
    let regions = Regions::new().await;
    let Regions { eu, us, .. } = &regions;
    eu.set("s1", "MUG-1", 2, "").await.unwrap();
    eu.set("s1", "POT-7", 1, "").await.unwrap();
    regions.agree("s1", &[("MUG-1", 2), ("POT-7", 1)]).await;
    us.remove("s1", "POT-7", "").await.unwrap();
    us.set("s1", "MUG-1", 3, "").await.unwrap();
    regions.agree("s1", &[("MUG-1", 3)]).await;

    // Neither can hear the other: each goes on, and killed services forget nothing.
    for world in [eu, us] {
        world.service.lock().await.kill();
    }
    let eu_alone = eu.cut_off("eu").await;
    for (sku, quantity) in [("MUG-1", 5), ("TEA-2", 1), ("CUP-3", 4)] {
        eu_alone.set("s1", sku, quantity, "").await.unwrap();
    }
    let us_alone = us.cut_off("us").await;
    us_alone.remove("s1", "MUG-1", "").await.unwrap();
    us_alone.set("s1", "CUP-3", 2, "").await.unwrap();
    us_alone.set("s1", "PAN-3", 1, "").await.unwrap();
    drop((eu_alone, us_alone));
    for world in [eu, us] {
        world.service.lock().await.kill_and_restart().await;
    }
    // The mug was set in one region while it was removed in the other; of two numbers of cups the larger.
    regions.agree("s1", &[("CUP-3", 4), ("MUG-1", 5), ("PAN-3", 1), ("TEA-2", 1)]).await;
}

#[tokio::test]
async fn a_key_used_in_one_region_is_known_in_the_other() {
    let regions = Regions::new().await;
    let Regions { eu, us, .. } = &regions;
    let first = eu.set("s1", "MUG-1", 2, "k1").await.unwrap();
    eu.set("s1", "MUG-1", 7, "k2").await.unwrap();
    regions.agree("s1", &[("MUG-1", 7)]).await;
    assert_eq!(us.set("s1", "MUG-1", 2, "k1").await.unwrap(), first, "the first answer again");
    assert_eq!(us.set("s1", "MUG-1", 3, "k1").await.unwrap_err().reason, "CART_KEY_REUSED");
    regions.agree("s1", &[("MUG-1", 7)]).await;
}

#[tokio::test]
async fn an_order_leaves_the_cart_of_both_regions_once() {
    let regions = Regions::new().await;
    let Regions { eu, us, us_kafka, .. } = &regions;
    eu.set("s1", "MUG-1", 2, "").await.unwrap();
    us.set("s1", "POT-7", 1, "").await.unwrap();
    regions.agree("s1", &[("MUG-1", 2), ("POT-7", 1)]).await;
    let order_id = Uuid::now_v7();
    eu.client.clone().check_out(bought("s1", order_id, &[("MUG-1", 2), ("POT-7", 1)])).await.unwrap();
    regions.agree("s1", &[]).await;

    // The shopper goes on in the other region, which is told of the order once more.
    us.set("s1", "MUG-1", 1, "").await.unwrap();
    let cart = us.client.clone().check_out(bought("s1", order_id, &[("MUG-1", 2), ("POT-7", 1)])).await.unwrap();
    assert_eq!(lines(&cart.into_inner().cart.unwrap()), BTreeMap::from([("MUG-1", 1)]));
    us_kafka.publish(&placed("s1", order_id, &[("MUG-1", 2), ("POT-7", 1)])).await;
    us_kafka.publish(&Event { key: order_id.to_string(), ..placed("s2", Uuid::now_v7(), &[]) }).await;
    regions.agree("s1", &[("MUG-1", 1)]).await;
}

#[tokio::test]
async fn nonsense_from_the_other_region_is_put_aside_and_blocks_nothing() {
    let regions = Regions::new().await;
    let Regions { eu, us, eu_kafka, .. } = &regions;
    let nonsense = Event {
        id: Uuid::now_v7(),
        topic: spine::topics::CART_EVENTS,
        key: "s0".to_owned(),
        kind: "cart.delta",
        payload: proto::events::cart::v1::CartDelta { cart_id: "s0".to_owned(), delta: vec![0x72, 9, 9], version: 1, answer: None }
            .encode_to_vec(),
    };
    eu_kafka.publish(&nonsense).await;
    eu.set("s1", "MUG-1", 2, "").await.unwrap();
    regions.agree("s1", &[("MUG-1", 2)]).await;
    eventually("the letter", SOON, async || {
        let dead = eu_kafka.everything_in("cart.events.dlq").await;
        if dead.iter().any(|delivery| delivery.event_id == nonsense.id) { Ok(()) } else { Err(format!("{} others", dead.len())) }
    })
    .await;
    assert_eq!(us.get("s0").await, Cart { cart_id: "s0".to_owned(), ..Cart::default() });
}

#[tokio::test]
async fn carts_of_older_code_are_kept() {
    let world = World::new().await;
    let old = "INSERT INTO carts (cart_id, version) VALUES ('s1', 3), ('s2', 9);
               INSERT INTO cart_lines (cart_id, sku, quantity) VALUES ('s1', 'MUG-1', 2), ('s1', 'POT-7', 999)";
    for statement in old.split(';') {
        sqlx::query(statement).execute(&world.pool()).await.unwrap();
    }
    world.service.lock().await.migrate().await;
    let cart = world.get("s1").await;
    assert_eq!((lines(&cart), cart.version), (BTreeMap::from([("MUG-1", 2), ("POT-7", 999)]), 3));
    world.remove("s1", "MUG-1", "").await.unwrap();
    world.service.lock().await.migrate().await;
    assert_eq!(lines(&world.get("s1").await), BTreeMap::from([("POT-7", 999)]));
    assert_eq!((world.get("s2").await.version, world.get("s2").await.lines.len()), (9, 0));
}

#[tokio::test]
async fn changes_that_were_lost_on_the_way_are_taken_over() {
    let nowhere = testkit::nowhere();
    let eu = World::in_region("eu", &nowhere, &[]).await;
    for number in 0..300 {
        eu.set(&format!("s{number}"), "MUG-1", 2, "").await.unwrap();
    }
    let address = eu.service.lock().await.address();
    let us = World::in_region("us", &nowhere, &[("PEER_CART_ADDR", &address), ("CART_REPAIR_EVERY", "600ms")]).await;
    us.set("s7", "POT-7", 1, "").await.unwrap();
    eu.remove("s9", "MUG-1", "").await.unwrap();
    let has_all = async || {
        for number in 0..300 {
            let cart = us.get(&format!("s{number}")).await;
            let expected: &[(&str, u32)] = match number {
                7 => &[("MUG-1", 2), ("POT-7", 1)],
                9 => &[],
                _ => &[("MUG-1", 2)],
            };
            if lines(&cart) != BTreeMap::from_iter(expected.iter().copied()) {
                return Err(format!("{cart:?}"));
            }
        }
        Ok(())
    };
    eventually("us has what eu has", SOON, has_all).await;
    let version = us.get("s1").await.version;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(us.get("s1").await.version, version, "nothing is taken over twice");
}

#[tokio::test]
async fn a_cart_that_is_taken_in_counts_once_in_whichever_region_and_how_often() {
    let regions = Regions::new().await;
    let Regions { eu, us, .. } = &regions;
    eu.set("ada", "MUG-1", 1, "").await.unwrap();
    eu.set("anonymous", "MUG-1", 2, "").await.unwrap();
    eu.set("anonymous", "POT-7", 1, "").await.unwrap();
    regions.agree("anonymous", &[("MUG-1", 2), ("POT-7", 1)]).await;
    // Signing in is repeated, and both regions do it, before either has heard of the other.
    let (here, there) = tokio::join!(eu.absorb("ada", "anonymous", "k1"), us.absorb("ada", "anonymous", ""));
    assert_eq!(lines(&here.unwrap())["POT-7"], 1);
    assert_eq!(lines(&there.unwrap())["POT-7"], 1);
    eu.absorb("ada", "anonymous", "k1").await.unwrap();
    us.absorb("ada", "anonymous", "k2").await.unwrap();
    regions.agree("ada", &[("MUG-1", 3), ("POT-7", 1)]).await;

    // What is taken out afterwards stays out, also when the shopper signs in again.
    us.remove("ada", "POT-7", "").await.unwrap();
    regions.agree("ada", &[("MUG-1", 3)]).await;
    eu.absorb("ada", "anonymous", "").await.unwrap();
    regions.agree("ada", &[("MUG-1", 3)]).await;
    assert_eq!(eu.absorb("ada", "ada", "").await.unwrap_err().reason, "CART_INVALID_REQUEST");
    assert_eq!(lines(&eu.get("anonymous").await).len(), 2, "the other cart stays as it is");
}
