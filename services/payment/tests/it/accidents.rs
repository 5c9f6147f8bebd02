//! PAY-1 and PAY-2 when the provider takes the money and does not say so, is slow, is down, and repeats itself out of order.

use std::time::Duration;

use futures::future::join_all;
use proto::payment::v1::PaymentState::{Authorized, Captured};
use rpc::{Failure, Kind};
use serde_json::json;
use testkit::eventually;

use super::{World, new_order};

/// As the saga does: again until there is an answer.
async fn until_answered<T>(call: impl AsyncFn() -> Result<T, Failure>) -> T {
    eventually("the service answers", Duration::from_secs(60), async || {
        call().await.map_err(|failure| {
            assert!(matches!(failure.kind, Kind::Unavailable | Kind::OutcomeUnknown | Kind::Timeout), "{failure:?}");
            failure
        })
    })
    .await
}

#[tokio::test]
async fn a_timeout_after_the_money_moved_is_unknown_and_the_repeat_finds_it_done() {
    let (world, order) = (World::new().await, new_order());
    world.set(json!({ "timeout_after_rate": 1.0 })).await;
    let unknown = world.authorize(&order, 1250, "tok_visa").await.unwrap_err();
    assert_eq!((unknown.kind, unknown.reason.as_str()), (Kind::OutcomeUnknown, "PAYMENT_OUTCOME_UNKNOWN"));
    assert_eq!(world.charges(&order).await[0]["state"], "authorized", "the money is held although nobody was told");
    world.set(json!({ "timeout_after_rate": 0.0, "cut_after_rate": 1.0 })).await;
    let held = world.authorize(&order, 1250, "tok_visa").await.unwrap_err();
    assert_eq!(held.kind, Kind::OutcomeUnknown);
    world.set(json!({ "cut_after_rate": 0.0 })).await;
    assert_eq!(world.authorize(&order, 1250, "tok_visa").await.unwrap().state(), Authorized);

    world.set(json!({ "cut_after_rate": 1.0 })).await;
    assert_eq!(world.capture(&order).await.unwrap_err().kind, Kind::OutcomeUnknown);
    assert_eq!(world.balances().await, (0, 0), "what is not known is not booked");
    assert_eq!(world.refund_part(&order, "r1", Some(50)).await.unwrap_err().reason, "PAYMENT_NOT_CAPTURED");
    world.set(json!({ "cut_after_rate": 0.0 })).await;
    assert_eq!(world.capture(&order).await.unwrap().state(), Captured);
    world.set(json!({ "cut_after_rate": 1.0 })).await;
    assert_eq!(world.refund_part(&order, "r1", Some(50)).await.unwrap_err().kind, Kind::OutcomeUnknown);
    world.set(json!({ "cut_after_rate": 0.0 })).await;
    assert_eq!(world.refund_part(&order, "r1", Some(50)).await.unwrap().refunds.len(), 1);
    assert_eq!(world.charges(&order).await[0]["refunded_minor"], 50, "given back once");
    assert_eq!(world.balances().await, (1200, -1200));
}

#[tokio::test]
async fn a_provider_that_is_down_delays_and_loses_nothing() {
    let (world, order) = (World::new().await, new_order());
    world.authorize(&order, 1250, "tok_visa").await.unwrap();
    world.set(json!({ "down": "unavailable" })).await;
    let failed = world.capture(&order).await.unwrap_err();
    assert!(failed.kind.is_retryable(), "{failed:?}");
    assert_eq!(world.payment(&order).await.unwrap().state(), Authorized, "payments can be read");
    world.set(json!({ "down": "no" })).await;
    assert_eq!(world.capture(&order).await.unwrap().state(), Captured);
}

#[tokio::test]
async fn a_bad_day_at_the_provider_costs_nobody_anything() {
    let world = World::with_step_up_delay("20ms").await;
    world
        .set(json!({
            "latency_max_ms": 40, "decline_rate": 0.1, "step_up_rate": 0.3, "cut_after_rate": 0.3,
            "webhook_delay_max_ms": 400, "duplicate_webhook_rate": 0.5,
        }))
        .await;
    let shop = |shopper: i64| {
        let world = &world;
        async move {
            let mut kept = 0;
            for number in 0..6 {
                let (order, amount) = (new_order(), 1000 + shopper * 10 + number);
                let mut payment = until_answered(async || world.authorize(&order, amount, "tok_visa").await).await;
                if payment.state().as_str_name() == "PAYMENT_STATE_REQUIRES_ACTION" {
                    payment = world.comes_to(&order, Authorized).await;
                }
                if payment.state() != Authorized {
                    continue;
                }
                until_answered(async || world.capture(&order).await).await;
                kept += amount;
                if number % 2 == 0 {
                    for part in ["r1", "r2"] {
                        until_answered(async || world.refund_part(&order, part, Some(100)).await).await;
                    }
                    kept -= 200;
                }
                let charges = world.charges(&order).await;
                assert_eq!(charges.len(), 1, "{charges:?}");
            }
            kept
        }
    };
    let kept: i64 = join_all((0..6).map(shop)).await.into_iter().sum();
    assert!(kept > 0);
    assert_eq!(world.balances().await, (kept, -kept));
    // Webhooks that are still on their way change nothing.
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(world.balances().await, (kept, -kept));
    let run = world.reconcile("").await;
    assert_eq!(run.differences, [], "the ledger is what the provider lists");
    assert_eq!(run.totals[0].at_psp.as_ref().unwrap().amount_minor, kept);
}
