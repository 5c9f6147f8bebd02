//! One key, one charge.

use std::collections::BTreeSet;

use psp::domain::{DeclineCode, State};
use serde_json::{Value, json};

use super::{World, made, order};

#[tokio::test]
async fn cards_end_as_their_tokens_say() {
    let world = World::with_delay("1h").await;
    for (token, status, state) in [
        ("tok_visa", 201, State::Authorized),
        ("tok_mastercard", 201, State::Authorized),
        ("tok_3ds", 201, State::RequiresAction),
        ("tok_decline", 200, State::Declined),
    ] {
        let (answered, charge) = world.charge(token, &order("o1", token)).await;
        assert_eq!((answered, charge.state), (status, state), "{token}");
        assert_eq!(charge.decline_code, (state == State::Declined).then_some(DeclineCode::CardDeclined));
        assert_eq!((charge.amount_minor, charge.currency.as_str(), charge.idempotency_key.as_str()), (1250, "EUR", token));
        assert_eq!(world.charge_of(&charge.id).await, charge);
    }
}

#[tokio::test]
async fn an_answer_has_the_fields_of_the_contract() {
    let world = World::new().await;
    let response = world.post("k1", &order("o1", "tok_visa")).await;
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    let id = body["id"].as_str().unwrap();
    let expected = json!({
        "id": id, "order_id": "o1", "state": "authorized", "amount_minor": 1250, "currency": "EUR",
        "idempotency_key": "k1", "refunded_minor": 0
    });
    assert_eq!(body, expected);
    assert_eq!(location, format!("/v1/charges/{id}"));
    assert_eq!(world.get("/v1/charges?order_id=o1").await.json::<Value>().await.unwrap(), json!({ "charges": [expected] }));
}

#[tokio::test]
async fn a_repeat_gives_the_charge_as_it_stands_now() {
    let world = World::new().await;
    for token in ["tok_visa", "tok_decline"] {
        let (_, first) = world.charge(token, &order("o1", token)).await;
        let (status, again) = world.charge(token, &order("o1", token)).await;
        assert_eq!((status, &again), (200, &first));
    }
    let (_, first) = world.charge("tok_visa", &order("o1", "tok_visa")).await;
    world.command(&first.id, "capture").await;
    let (status, again) = world.charge("tok_visa", &order("o1", "tok_visa")).await;
    assert_eq!((status, again.id, again.state), (200, first.id, State::Captured));
    assert_eq!(world.list("order_id=o1").await.len(), 1);
}

#[tokio::test]
async fn concurrent_repeats_make_one_charge() {
    let world = World::new().await;
    let body = order("o1", "tok_visa");
    let answers = futures::future::join_all((0..50).map(|_| world.charge("k1", &body))).await;
    let ids: BTreeSet<_> = answers.iter().map(|(_, charge)| charge.id.as_str()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(answers.iter().filter(|(status, _)| *status == 201).count(), 1, "one of them made it");
    assert_eq!(world.list("order_id=o1").await.len(), 1);
}

#[tokio::test]
async fn another_request_under_a_used_key_is_refused() {
    let world = World::new().await;
    let (_, first) = world.charge("k1", &order("o1", "tok_visa")).await;
    for (field, other) in
        [("order_id", json!("o2")), ("amount_minor", json!(1251)), ("currency", json!("USD")), ("payment_token", json!("tok_mastercard"))]
    {
        let mut body = order("o1", "tok_visa");
        body[field] = other;
        let response = world.post("k1", &body).await;
        assert_eq!(response.status(), 409, "{field}");
        assert_eq!(response.json::<Value>().await.unwrap()["reason"], "PSP_KEY_REUSED");
    }
    assert_eq!(made(world.post("k1", &order("o1", "tok_visa")).await).await, (200, first.clone()));
    let mut moved = order("o1", "tok_visa");
    moved["webhook_url"] = json!("http://127.0.0.1:9/");
    assert_eq!(made(world.post("k1", &moved).await).await, (200, first), "where the merchant listens is no part of the request");
    assert_eq!(world.list("").await.len(), 1);
}
