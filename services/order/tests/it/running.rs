//! The whole service with Temporal, inventory, payment and the provider: what is missing is started, and a cancel races with the capture.

use std::time::Duration;

use proto::{
    order::v1::{Order, OrderState},
    payment::v1::PaymentState,
};
use testkit::eventually;

use crate::market::Market;

#[tokio::test]
async fn what_was_asked_for_while_temporal_was_away_is_done_when_it_is_back() {
    let mut market = Market::new("10ms").await;
    market.temporal.kill();
    market.orders.service.kill_and_restart().await;
    let (kept, cancelled) = (market.ordered("tok_visa", 2).await, market.ordered("tok_visa", 2).await);
    market.cancel(&cancelled, "c").await.unwrap();
    market.temporal.restart().await;
    assert_eq!(market.ends(&kept).await.state(), OrderState::Shipped);
    let end = market.ends(&cancelled).await;
    assert_eq!((end.state(), end.cancel_reason.as_str()), (OrderState::Cancelled, "ORDER_CANCELLED_BY_SHOPPER"));
    assert_eq!((market.payment(&cancelled).await, market.in_stock(&cancelled).await), (None, crate::market::STOCK));

    market.temporal.kill();
    let asked = market.send_back(&kept, "r").await.unwrap();
    assert!(asked.return_requested);
    market.orders.service.kill_and_restart().await;
    market.temporal.restart().await;
    market.reaches(&kept, OrderState::Returned).await;
    assert_eq!(market.payment(&kept).await, Some(PaymentState::Refunded));
}

#[tokio::test]
async fn a_cancel_that_races_with_the_capture_has_one_winner() {
    let market = Market::new("10ms").await;
    let race = async |after: Duration| {
        let order = market.ordered("tok_visa", 2).await;
        tokio::time::sleep(after).await;
        let answer = market.cancel(&order, "c").await;
        let again = market.cancel(&order, "c").await;
        assert_eq!(answer.as_ref().map_err(|error| error.reason.clone()).map(drop), again.map_err(|error| error.reason).map(drop));
        let end = market.ends(&order).await;
        let money = (market.payment(&order).await, market.in_stock(&order).await);
        match (answer, end.state()) {
            (Ok(_), OrderState::Cancelled) => {
                assert!(matches!(money, (None | Some(PaymentState::Voided), crate::market::STOCK)), "{money:?}");
            }
            (Err(refused), OrderState::Shipped) => {
                assert_eq!(refused.reason, "ORDER_TOO_LATE_TO_CANCEL");
                assert_eq!(money, (Some(PaymentState::Captured), crate::market::STOCK - 2));
            }
            other => panic!("{other:?}"),
        }
        end.state()
    };
    // The cancels begin when about half of them lose, however fast this machine is.
    let mut latest = Duration::from_millis(50);
    let (mut cancelled, mut shipped) = (0, 0);
    for _ in 0..15 {
        let ends = futures::future::join_all((1..=10).map(|tenth| race(latest * tenth / 10))).await;
        let lost = ends.iter().filter(|end| **end == OrderState::Shipped).count();
        (cancelled, shipped) = (cancelled + ends.len() - lost, shipped + lost);
        match lost {
            0..3 => latest *= 2,
            8.. => latest /= 2,
            _ if cancelled >= 15 && shipped >= 15 => break,
            _ => {}
        }
    }
    assert!(cancelled >= 15 && shipped >= 15, "each of them wins often enough: {cancelled} cancelled, {shipped} shipped");
}

#[tokio::test]
async fn a_cancel_during_the_step_up_does_not_wait_for_the_next_look() {
    let market = Market::new("1h").await;
    let order = market.ordered("tok_3ds", 2).await;
    eventually("the bank is asked", Duration::from_secs(20), async || match market.payment(&order).await {
        Some(PaymentState::RequiresAction) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let asked = std::time::Instant::now();
    market.cancel(&order, "c").await.unwrap();
    assert_eq!(market.ends(&order).await.cancel_reason, "ORDER_CANCELLED_BY_SHOPPER");
    assert!(asked.elapsed() < Duration::from_secs(4), "the signal was quicker than the clock: {:?}", asked.elapsed());
    assert_eq!(market.payment(&order).await, Some(PaymentState::Voided));
}

impl Market {
    async fn reaches(&self, order: &Order, state: OrderState) {
        eventually("the order gets there", Duration::from_secs(60), async || {
            let now = self.now(order).await;
            if now.state() == state { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
    }
}
