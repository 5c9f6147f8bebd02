//! What ends a step-up is told, signed, at least once.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use psp::domain::State;
use serde_json::{Value, json};
use sha2::Sha256;
use time::OffsetDateTime;

use super::{SECRET, World, order, receiver::Receiver};

fn order_heard_by(receiver: &Receiver) -> Value {
    let mut order = order("o1", "tok_3ds");
    order["webhook_url"] = receiver.url().into();
    order
}

/// Checks a signature as a merchant does.
fn is_signed(signature: &str, body: &str) -> bool {
    let (time, mac) = signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")).expect("t=..,v1=..");
    let age = OffsetDateTime::now_utc().unix_timestamp() - time.parse::<i64>().expect("unix seconds");
    let mac: Vec<u8> = (0..mac.len()).step_by(2).map(|at| u8::from_str_radix(&mac[at..at + 2], 16).expect("hex")).collect();
    let mut expected = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
    expected.update(format!("{time}.{body}").as_bytes());
    (0..60).contains(&age) && expected.verify_slice(&mac).is_ok()
}

#[tokio::test]
async fn an_approved_step_up_is_told_with_a_signature() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    receiver.take();
    let (_, charge) = world.charge("k1", &order_heard_by(&receiver)).await;
    assert_eq!(charge.state, State::RequiresAction);
    let heard = receiver.has_taken().await;
    assert!(is_signed(&heard.signature, &heard.body), "{heard:?}");
    assert!(!is_signed(&heard.signature, &heard.body.replace("1250", "9250")), "the body is signed too");
    let event = heard.json();
    let created = event["created"].as_i64().unwrap();
    assert!((0..60).contains(&(OffsetDateTime::now_utc().unix_timestamp() - created)));
    assert!(event["id"].as_str().unwrap().starts_with("evt_"));
    assert_eq!(event["type"], "charge.authorized");
    assert_eq!(event["charge"], serde_json::to_value(world.charge_of(&charge.id).await).unwrap());
    assert_eq!(event["charge"]["state"], "authorized");
    assert_eq!(world.command(&charge.id, "capture").await.0, 200);
}

#[tokio::test]
async fn a_voided_step_up_is_told_and_never_approved() {
    let (world, receiver) = (World::with_delay("300ms").await, Receiver::start().await);
    receiver.take();
    let (_, charge) = world.charge("k1", &order_heard_by(&receiver)).await;
    assert_eq!(world.command(&charge.id, "void").await.0, 200);
    assert_eq!(receiver.has_taken().await.json()["type"], "charge.voided");
    // A later shopper has approved, so this one would have too.
    let (_, later) = world.charge("k2", &order("o2", "tok_3ds")).await;
    world.comes_to(&later.id, State::Authorized).await;
    assert_eq!(world.charge_of(&charge.id).await.state, State::Voided);
    assert_eq!(receiver.heard().len(), 1);
}

#[tokio::test]
async fn a_webhook_that_was_refused_is_sent_again() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    world.charge("k1", &order_heard_by(&receiver)).await;
    let refused = receiver.has_heard(2).await;
    receiver.take();
    let taken = receiver.has_taken().await;
    assert!(refused.iter().all(|heard| heard.body == taken.body), "it says the same each time");
    assert!(is_signed(&taken.signature, &taken.body));
}

#[tokio::test]
async fn a_webhook_survives_a_kill_between_its_attempts() {
    let (mut world, receiver) = (World::new().await, Receiver::start().await);
    let (_, charge) = world.charge("k1", &order_heard_by(&receiver)).await;
    let first = receiver.has_heard(1).await[0].json();
    world.service.kill_and_restart().await;
    receiver.take();
    let taken = receiver.has_taken().await.json();
    assert_eq!((&taken["id"], &taken["charge"]["id"]), (&first["id"], &json!(charge.id)));
}

#[tokio::test]
async fn a_step_up_survives_a_kill_before_its_approval() {
    let (mut world, receiver) = (World::with_delay("500ms").await, Receiver::start().await);
    receiver.take();
    let (_, charge) = world.charge("k1", &order_heard_by(&receiver)).await;
    world.service.kill_and_restart().await;
    world.comes_to(&charge.id, State::Authorized).await;
    assert_eq!(receiver.has_taken().await.json()["charge"]["id"], charge.id.as_str());
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_no_other() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    receiver.take();
    // Takes connections and never answers.
    let hanging = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut body = order("o1", "tok_3ds");
    body["webhook_url"] = format!("http://{}/", hanging.local_addr().unwrap()).into();
    let (shop, body) = (&world, &body);
    futures::future::join_all((0..100).map(async |key| shop.charge(&format!("k{key}"), body).await)).await;
    hanging.accept().await.unwrap();
    world.charge("other", &order_heard_by(&receiver)).await;
    // Sooner than one attempt at the other is given up.
    tokio::time::timeout(Duration::from_secs(4), receiver.has_taken()).await.unwrap();
}
