//! PAY-1 and PAY-2 when this service and the provider are killed in the middle of their work.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::future::join_all;
use proto::payment::v1::PaymentState::{Authorized, Captured, Voided};
use rpc::{Failure, Kind};
use testkit::eventually;

use super::{World, new_order};

/// As the saga does: again until there is an answer.
async fn until_answered<T>(call: impl AsyncFn() -> Result<T, Failure>) -> Result<T, Failure> {
    eventually("the service answers", Duration::from_secs(40), async || match call().await {
        Err(failure) if is_transient(&failure) => Err(failure.to_string()),
        answer => Ok(answer),
    })
    .await
}

/// A connection that breaks under a call is reported without a reason of ours.
fn is_transient(failure: &Failure) -> bool {
    matches!(failure.kind, Kind::Unavailable | Kind::OutcomeUnknown) || matches!(failure.reason.as_str(), "INTERNAL" | "DEADLINE_EXCEEDED")
}

#[tokio::test]
async fn kills_on_both_sides_take_no_amount_twice_and_hold_none_behind() {
    let world = World::new().await;
    let done = AtomicUsize::new(0);
    // Two of three orders are captured, the third is given up in the middle.
    let shop = |shopper: usize| {
        let (world, done) = (&world, &done);
        async move {
            let mut orders = Vec::new();
            for number in 0..15 {
                let order = new_order();
                let is_given_up = (shopper + number).is_multiple_of(3);
                if is_given_up {
                    // One try, whatever comes of it; nobody waits for the answer.
                    let _ = world.authorize(&order, 1000, "tok_visa").await;
                    until_answered(async || world.void(&order).await).await.unwrap();
                } else {
                    let held = until_answered(async || world.authorize(&order, 1000, "tok_visa").await).await.unwrap();
                    assert_eq!(held.state(), Authorized);
                    assert_eq!(until_answered(async || world.capture(&order).await).await.unwrap().state(), Captured);
                }
                orders.push((order, is_given_up));
                done.fetch_add(1, Ordering::Relaxed);
            }
            orders
        }
    };
    let kill = async {
        for at_least in [15, 30, 50, 70] {
            eventually("traffic flows", Duration::from_secs(60), async || {
                let count = done.load(Ordering::Relaxed);
                if count >= at_least { Ok(()) } else { Err(format!("{count} orders")) }
            })
            .await;
            world.service.lock().await.kill_and_restart().await;
            world.psp.lock().await.kill_and_restart().await;
        }
    };
    let (orders, ()) = tokio::join!(join_all((0..8).map(shop)), kill);

    let mut taken = 0;
    for (order, is_given_up) in orders.into_iter().flatten() {
        let charges = world.charges(&order).await;
        assert!(charges.len() <= 1, "one order has one charge: {charges:?}");
        if is_given_up {
            assert!(charges.iter().all(|charge| charge["state"] == "voided"), "nothing stays held: {charges:?}");
            let state = world.payment(&order).await.unwrap().state();
            assert_eq!(state, Voided);
        } else {
            assert_eq!(charges[0]["state"], "captured");
            assert_eq!(world.events_of(&order).await, ["payment.authorized", "payment.captured"]);
            taken += 1000;
        }
    }
    assert_eq!(world.balances().await, (taken, -taken), "the ledger is what the provider took");
}
