//! STOCK-1 and STOCK-2 when the service is killed in the middle of its work.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::future::join_all;
use proto::inventory::v1::ReservationState::{Committed, Released, Reserved};
use rpc::{Failure, Kind};
use testkit::eventually;

use super::{Answer, World, new_order};

/// As the saga does: again until there is an answer.
async fn until_answered(call: impl AsyncFn() -> Answer) -> Answer {
    eventually("the service answers", Duration::from_secs(30), async || match call().await {
        Err(failure) if is_transient(&failure) => Err(failure.to_string()),
        answer => Ok(answer),
    })
    .await
}

/// A connection that breaks under a call is reported as `UNKNOWN` or `CANCELLED`, without a reason of ours.
fn is_transient(failure: &Failure) -> bool {
    failure.kind == Kind::Unavailable || matches!(failure.reason.as_str(), "INTERNAL" | "DEADLINE_EXCEEDED")
}

#[tokio::test]
async fn kills_in_the_middle_of_traffic_lose_no_unit() {
    let world = World::new().await;
    world.put("MUG-1", 150).await;
    let done = AtomicUsize::new(0);
    // Half of the orders are sold, half are given back; 4 units each of 150, so some find nothing left.
    let shop = |shopper: usize| {
        let (world, done) = (&world, &done);
        async move {
            for number in 0..20 {
                let order = new_order();
                match until_answered(async || world.reserve(&order, &[("MUG-1", 4)]).await).await {
                    Ok(state) => {
                        assert_eq!(state, Reserved);
                        if (shopper + number).is_multiple_of(2) {
                            assert_eq!(until_answered(async || world.commit(&order).await).await.unwrap(), Committed);
                        } else {
                            assert_eq!(until_answered(async || world.release(&order).await).await.unwrap(), Released);
                        }
                    }
                    Err(refused) => assert_eq!(refused.reason, "INVENTORY_OUT_OF_STOCK"),
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let kill_twice = async {
        for at_least in [30, 90] {
            eventually("traffic flows", Duration::from_secs(30), async || {
                let count = done.load(Ordering::Relaxed);
                if count >= at_least { Ok(()) } else { Err(format!("{count} orders")) }
            })
            .await;
            world.service.lock().await.kill_and_restart().await;
        }
    };
    tokio::join!(join_all((0..8).map(shop)), kill_twice);

    world.assert_stock_is_conserved().await;
    let open: i64 =
        sqlx::query_scalar("SELECT count(*) FROM reservations WHERE state = 'reserved'").fetch_one(&world.pool()).await.unwrap();
    assert_eq!(open, 0, "every reservation ended");
    let doubled: i64 = sqlx::query_scalar("SELECT count(*) FROM (SELECT 1 FROM outbox GROUP BY key, type HAVING count(*) > 1) AS doubled")
        .fetch_one(&world.pool())
        .await
        .unwrap();
    assert_eq!(doubled, 0, "every change was said once");
}
