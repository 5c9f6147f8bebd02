//! Every step failing before and after its effect, and every workflow started twice: money moves once.

use payment::domain::Intent;
use proto::payment::v1::PaymentState::{self, Authorized, Captured, Voided};
use serde_json::{Value, json};

use super::{
    faults::Fault,
    world::{Workflows, order_id, refund},
};
use crate::new_order;

/// Each step with what it settles, where the payment stands then, and what is refunded.
const STEPS: [(&str, PaymentState, i64); 4] =
    [("authorize", Authorized, 0), ("capture", Captured, 0), ("void", Voided, 0), ("refund", Captured, 300)];

/// An order of which `step` is wanted and has no answer.
async fn left_open(world: &Workflows, step: &str) -> (String, Intent) {
    let order = new_order();
    if step != "authorize" {
        world.authorize(&order, 1250, "tok_visa").await.expect("the provider is there");
    }
    if step == "refund" {
        world.capture(&order).await.expect("the provider is there");
    }
    world.set(json!({ "down": "unavailable" })).await;
    let intent = match step {
        "authorize" => world.authorize(&order, 1250, "tok_visa").await.map(drop).map_err(|_| Intent::Authorization),
        "capture" => world.capture(&order).await.map(drop).map_err(|_| Intent::Capture),
        "void" => world.void(&order).await.map(drop).map_err(|_| Intent::Void),
        _ => world.refund_part(&order, "r1", Some(300)).await.map(drop).map_err(|_| refund(&order, "r1")),
    };
    world.set(json!({ "down": "no" })).await;
    (order, intent.expect_err("nobody answers"))
}

async fn assert_settled(world: &Workflows, order: &str, what: &str, state: PaymentState, refunded: i64) -> Vec<Value> {
    let payment = world.payment(order).await.expect("there is a payment");
    assert_eq!((payment.state(), payment.refunded.expect("a payment has an amount").amount_minor), (state, refunded), "{what}");
    let charges = world.charges(order).await;
    assert_eq!((charges.len(), &charges[0]["refunded_minor"]), (1, &json!(refunded)), "{what}");
    charges
}

#[tokio::test]
async fn a_step_that_fails_or_is_taken_again_changes_nothing() {
    let world = Workflows::new().await;
    let mut kept = 0;
    for (step, state, refunded) in STEPS {
        for fault in [Fault::Before(2), Fault::After(2)] {
            let (order, intent) = left_open(&world, step).await;
            let (what, workflow) = (format!("{step} {fault:?}"), payment::workflow::id(order_id(&order), &intent));
            world.faults.set(&workflow, step, fault);
            world.start(&order, &intent).await;
            world.ended(&workflow).await;
            let events = world.events_of(&order).await;
            assert_settled(&world, &order, &what, state, refunded).await;
            assert_eq!(events, events_after(step), "{what}: each event once");
            let settled = world.faults.settled(&workflow);
            let key = if step == "refund" { format!("{order}/r1") } else { format!("{order}/{step}") };
            let times = if matches!(fault, Fault::After(_)) { 3 } else { 1 };
            assert_eq!(settled.iter().filter(|id| **id == key).count(), times, "{what}: {settled:?}");
            kept += if state == Captured { 1250 - refunded } else { 0 };
        }
    }
    assert_eq!(world.balances().await, (kept, -kept));
}

fn events_after(step: &str) -> &'static [&'static str] {
    match step {
        "authorize" => &["payment.authorized"],
        "capture" => &["payment.authorized", "payment.captured"],
        "void" => &["payment.authorized", "payment.voided"],
        _ => &["payment.authorized", "payment.captured", "payment.partially_refunded"],
    }
}

#[tokio::test]
async fn a_workflow_that_is_started_twice_moves_money_once() {
    let world = Workflows::new().await;
    for (step, state, refunded) in STEPS {
        let (order, intent) = left_open(&world, step).await;
        world.faults.set(&payment::workflow::id(order_id(&order), &intent), step, Fault::Before(3));
        let (workflow, is_new) = world.start(&order, &intent).await;
        assert!(is_new);
        assert!(!world.start(&order, &intent).await.1, "{step}: it runs");
        world.ended(&workflow).await;
        let charges = assert_settled(&world, &order, step, state, refunded).await;
        assert!(world.start(&order, &intent).await.1, "{step}: it has ended, and may run again");
        world.ended(&workflow).await;
        assert_eq!(assert_settled(&world, &order, step, state, refunded).await, charges);
        assert_eq!(world.events_of(&order).await, events_after(step));
    }
}

#[tokio::test]
async fn a_key_whose_refund_could_not_be_made_may_be_used_again() {
    let world = Workflows::new().await;
    let (order, intent) = left_open(&world, "refund").await;
    let charge = world.payment(&order).await.unwrap().charge_id;
    // The desk is faster, and gives back everything but 100.
    let url = format!("{}/v1/charges/{charge}/refund", world.psp_address);
    let desk = world.http.post(url).header("idempotency-key", "desk").json(&json!({ "amount_minor": 1150 })).send().await.unwrap();
    assert!(desk.status().is_success());
    let (workflow, _) = world.start(&order, &intent).await;
    world.ended(&workflow).await;
    assert_settled(&world, &order, "the desk was faster", Captured, 1150).await;

    world.set(json!({ "down": "unavailable" })).await;
    world.refund_part(&order, "r1", Some(100)).await.unwrap_err();
    world.set(json!({ "down": "no" })).await;
    assert!(world.start(&order, &intent).await.1, "the first one has ended, so this one is followed");
    world.ended(&workflow).await;
    assert_settled(&world, &order, "the rest", PaymentState::Refunded, 1250).await;
}
