//! Parts are given back once each, never more than was taken; what the bank takes back is told.

use futures::future::join_all;
use psp::domain::State;
use serde_json::json;

use super::{World, order, receiver::Receiver};

#[tokio::test]
async fn parts_are_given_back_by_their_keys() {
    let world = World::new().await;
    let (_, charge) = world.charge("k1", &order("o1", "tok_visa")).await;
    world.command(&charge.id, "capture").await;
    for (key, amount, status, reason) in [
        ("r1", Some(500), 200, ""),
        ("r1", Some(500), 200, ""),
        ("r1", Some(501), 409, "PSP_KEY_REUSED"),
        ("r1", None, 409, "PSP_KEY_REUSED"),
        ("k1", Some(1), 409, "PSP_KEY_REUSED"),
        ("r2", Some(751), 422, "PSP_REFUND_TOO_LARGE"),
        ("r2", Some(250), 200, ""),
        ("r3", None, 200, ""),
        ("r3", None, 200, ""),
        ("r4", None, 409, "PSP_CHARGE_STATE"),
    ] {
        let (answered, body) = world.refund(&charge.id, key, amount).await;
        assert_eq!((answered, body["reason"].as_str().unwrap_or_default()), (status, reason), "{key} {amount:?}");
    }
    let charge = world.charge_of(&charge.id).await;
    assert_eq!((charge.state, charge.refunded_minor), (State::Refunded, 1250));
    let parts: Vec<_> = charge.refunds.iter().map(|part| (part.idempotency_key.as_str(), part.amount_minor, part.is_rest)).collect();
    assert_eq!(parts, [("r1", 500, false), ("r2", 250, false), ("r3", 500, true)]);
}

#[tokio::test]
async fn of_many_refunds_at_once_no_more_is_given_back_than_was_taken() {
    let world = World::new().await;
    let (_, charge) = world.charge("k1", &order("o1", "tok_visa")).await;
    world.command(&charge.id, "capture").await;
    let keys: Vec<String> = (0..40).map(|number| format!("r{}", number % 20)).collect();
    let answers = join_all(keys.iter().map(|key| world.refund(&charge.id, key, Some(100)))).await;
    let done = answers.iter().filter(|(status, _)| *status == 200).count();
    let charge = world.charge_of(&charge.id).await;
    assert_eq!((charge.refunded_minor, charge.refunds.len()), (1200, 12), "12 times 100 of 1250");
    assert_eq!(done, 24, "each was asked for twice, and answered alike");
}

#[tokio::test]
async fn what_is_left_is_taken_back_by_the_bank_and_told() {
    let (world, receiver) = (World::new().await, Receiver::start().await);
    receiver.take();
    let mut body = order("o1", "tok_visa");
    body["webhook_url"] = receiver.url().into();
    let (_, charge) = world.charge("k1", &body).await;
    world.command(&charge.id, "capture").await;
    assert_eq!(world.refund(&charge.id, "r1", Some(250)).await.0, 200);
    let heard = receiver.has_heard(1).await[0].json();
    assert_eq!((&heard["type"], &heard["charge"]["refunds"][0]["idempotency_key"]), (&json!("charge.refunded"), &json!("r1")));
    for _ in 0..2 {
        let (status, body) = world.command(&charge.id, "chargeback").await;
        assert_eq!((status, &body["chargeback"]["amount_minor"]), (200, &json!(1000)));
    }
    let heard = receiver.has_heard(2).await[1].json();
    assert_eq!((&heard["type"], &heard["charge"]["state"]), (&json!("charge.charged_back"), &json!("charged_back")));
    assert_eq!(world.refund(&charge.id, "r2", Some(1)).await.0, 409, "it is gone");
}
