//! PAY-1 and PAY-2 along the ways that a saga goes.

use futures::future::join_all;
use proto::payment::v1::PaymentState::{Authorized, Captured, Declined, Refunded, Voided};

use super::{World, new_order};

#[tokio::test]
async fn an_order_is_authorized_captured_and_given_back_once() {
    let (world, order) = (World::new().await, new_order());
    for _ in 0..2 {
        let payment = world.authorize(&order, 1250, "tok_visa").await.unwrap();
        assert_eq!(payment.state(), Authorized);
        assert_eq!(payment.amount.unwrap().amount_minor, 1250);
    }
    assert_eq!(world.balances().await, (0, 0), "holding is not taking");
    for _ in 0..2 {
        assert_eq!(world.capture(&order).await.unwrap().state(), Captured);
    }
    assert_eq!(world.balances().await, (1250, -1250));
    for _ in 0..2 {
        assert_eq!(world.refund(&order).await.unwrap().state(), Refunded);
    }
    assert_eq!(world.balances().await, (0, 0));

    assert_eq!(world.events_of(&order).await, ["payment.authorized", "payment.captured", "payment.refunded"]);
    let charges = world.charges(&order).await;
    assert_eq!(charges.len(), 1);
    assert_eq!((&charges[0]["state"], &charges[0]["amount_minor"]), (&"refunded".into(), &1250.into()));
    assert_eq!(charges[0]["idempotency_key"], format!("{order}/authorize"));
}

#[tokio::test]
async fn many_authorizes_at_once_make_one_charge() {
    let (world, order) = (World::new().await, new_order());
    let calls = join_all((0..20).map(|_| world.authorize(&order, 700, "tok_mastercard"))).await;
    let ids: std::collections::BTreeSet<_> = calls.into_iter().map(|answer| answer.unwrap().charge_id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(world.charges(&order).await.len(), 1);
    assert_eq!(world.events_of(&order).await, ["payment.authorized"]);
}

#[tokio::test]
async fn capture_and_void_at_once_leave_one_of_them_done() {
    let world = World::new().await;
    for _ in 0..10 {
        let order = new_order();
        world.authorize(&order, 900, "tok_visa").await.unwrap();
        let (captured, voided) = tokio::join!(world.capture(&order), world.void(&order));
        assert_ne!(captured.is_ok(), voided.is_ok(), "{captured:?} {voided:?}");
        let state = world.payment(&order).await.unwrap().state();
        assert_eq!(state, if captured.is_ok() { Captured } else { Voided });
        let charges = world.charges(&order).await;
        assert_eq!(charges[0]["state"], if captured.is_ok() { "captured" } else { "voided" });
    }
    let (psp, sales) = world.balances().await;
    assert_eq!(psp + sales, 0);
}

#[tokio::test]
async fn a_declined_card_is_an_answer_and_a_void_of_it_changes_nothing() {
    let (world, order) = (World::new().await, new_order());
    let payment = world.authorize(&order, 1250, "tok_decline").await.unwrap();
    assert_eq!((payment.state(), payment.decline_code.as_str()), (Declined, "card_declined"));
    assert_eq!(world.void(&order).await.unwrap().unwrap().state(), Declined);
    assert_eq!(world.events_of(&order).await, ["payment.declined"]);
    assert!(world.charges(&order).await.is_empty());
}

#[tokio::test]
async fn a_card_that_the_provider_does_not_know_is_declined() {
    let (world, order) = (World::new().await, new_order());
    let payment = world.authorize(&order, 1250, "tok_nobody").await.unwrap();
    assert_eq!((payment.state(), payment.decline_code.as_str()), (Declined, "unknown_token"));
}

#[tokio::test]
async fn a_void_before_the_payment_keeps_it_from_ever_being_made() {
    let (world, order) = (World::new().await, new_order());
    assert_eq!(world.void(&order).await.unwrap(), None);
    assert_eq!(world.void(&order).await.unwrap(), None);
    assert_eq!(world.authorize(&order, 1250, "tok_visa").await.unwrap_err().reason, "PAYMENT_VOIDED");
    assert!(world.charges(&order).await.is_empty());
    assert_eq!(world.events_of(&order).await, ["payment.voided"]);
}
