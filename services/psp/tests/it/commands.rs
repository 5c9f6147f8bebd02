//! Capture, void and refund: each at most once, none against the others.

use psp::domain::State;
use serde_json::Value;

use super::{World, order};

/// The state in a command's answer, or the reason of its refusal.
fn outcome((status, body): (u16, Value)) -> (u16, String) {
    let field = if status == 200 { "state" } else { "reason" };
    (status, body[field].as_str().expect("a text").to_owned())
}

#[tokio::test]
async fn a_charge_is_captured_once_and_refunded_once() {
    let world = World::new().await;
    let (_, charge) = world.charge("k1", &order("o1", "tok_visa")).await;
    for (command, status, says) in [
        ("refund", 409, "PSP_CHARGE_STATE"),
        ("capture", 200, "captured"),
        ("capture", 200, "captured"),
        ("void", 409, "PSP_CHARGE_STATE"),
        ("refund", 200, "refunded"),
        ("refund", 200, "refunded"),
        ("capture", 409, "PSP_CHARGE_STATE"),
    ] {
        let answer = match command {
            "refund" => world.refund(&charge.id, "k1/refund", None).await,
            command => world.command(&charge.id, command).await,
        };
        assert_eq!(outcome(answer), (status, says.to_owned()), "{command}");
    }
    let page = world.get("/").await.text().await.unwrap();
    assert!(page.contains("<dt>refunded</dt><dd>1</dd>") && page.contains("<dt>captured</dt><dd>0</dd>"), "{page}");
}

#[tokio::test]
async fn a_voided_charge_is_not_captured() {
    let world = World::new().await;
    let (_, charge) = world.charge("k1", &order("o1", "tok_visa")).await;
    for (command, status, says) in
        [("void", 200, "voided"), ("void", 200, "voided"), ("capture", 409, "PSP_CHARGE_STATE"), ("chargeback", 409, "PSP_CHARGE_STATE")]
    {
        assert_eq!(outcome(world.command(&charge.id, command).await), (status, says.to_owned()), "{command}");
    }
}

#[tokio::test]
async fn of_capture_and_void_at_once_one_wins() {
    let world = World::new().await;
    for key in 0..20 {
        let (_, charge) = world.charge(&format!("k{key}"), &order("o1", "tok_visa")).await;
        let (captured, voided) = tokio::join!(world.command(&charge.id, "capture"), world.command(&charge.id, "void"));
        let state = world.charge_of(&charge.id).await.state;
        match (captured.0, voided.0) {
            (200, 409) => assert_eq!(state, State::Captured),
            (409, 200) => assert_eq!(state, State::Voided),
            both => panic!("{both:?}"),
        }
    }
}

#[tokio::test]
async fn a_declined_charge_takes_no_command() {
    let world = World::new().await;
    let (_, charge) = world.charge("k1", &order("o1", "tok_decline")).await;
    for command in ["capture", "void", "chargeback"] {
        assert_eq!(outcome(world.command(&charge.id, command).await), (409, "PSP_CHARGE_STATE".to_owned()), "{command}");
    }
}

#[tokio::test]
async fn a_charge_that_is_not_there_is_not_found() {
    let world = World::new().await;
    for id in ["ch_0193a0b000007000800000000000000a", "x", "..%2F..%2Fetc", "%00"] {
        assert_eq!(outcome(world.refund(id, "k1", None).await), (404, "PSP_CHARGE_NOT_FOUND".to_owned()), "{id}");
        for command in ["capture", "void", "chargeback"] {
            assert_eq!(outcome(world.command(id, command).await), (404, "PSP_CHARGE_NOT_FOUND".to_owned()), "{id} {command}");
        }
        assert_eq!(world.get(&format!("/v1/charges/{id}")).await.status(), 404);
    }
}
