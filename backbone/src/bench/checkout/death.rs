//! The order service dies with orders between their steps: how long does a stranger wait for the same stock?

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use config::Checkout;
use ids::Region;
use proto::{
    inventory::v1::{ReleaseRequest, ReserveRequest, inventory_service_client::InventoryServiceClient},
    market::v1::Line,
};
use rustix::process::Signal;
use sqlx::PgConnection;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use uuid::Uuid;

use super::super::{
    bed::Bed,
    orders::{self, Until},
};
use crate::process;

const CALLERS: usize = 8;
/// After it: a decision that was on its way when the service died has arrived.
const REACTION: Duration = Duration::from_millis(100);
/// Before the kill.
const WARM: Duration = Duration::from_secs(2);
/// How often a kill may come too late to leave something undecided.
const TRIES: usize = 20;
/// Between two of the stranger's visits.
const PAUSE: Duration = Duration::from_millis(20);
/// All orders have ended by then.
const LIMIT: Duration = Duration::from_secs(60);

/// Another buyer's longest wait while all is well, and after the death.
pub(super) async fn longest_waits(bed: &Bed, region: Region, way: Checkout) -> Result<(Duration, Duration)> {
    let mut database = bed.connect(region).await?;
    for _ in 0..TRIES {
        let (waited, left) = once(bed, region, way, &mut database).await?;
        if left > 0 || way != Checkout::TwoPhase {
            return Ok(waited);
        }
    }
    bail!("no kill of {TRIES} came between the phases")
}

/// One death: the stranger's longest waits before and after, and how many orders were between the phases.
async fn once(bed: &Bed, region: Region, way: Checkout, database: &mut PgConnection) -> Result<((Duration, Duration), i64)> {
    let line = orders::lines(bed, region).await?.swap_remove(0);
    let (death, stop) = (CancellationToken::new(), CancellationToken::new());
    let inventory = InventoryServiceClient::connect(bed.url(region, "inventory")).await?;
    let stranger = tokio::spawn(stranger(inventory, line.sku.clone(), death.clone(), stop.clone()));
    let buying = {
        let (bed, line) = (bed.clone(), line.clone());
        // They end with the order service's connections.
        tokio::spawn(async move { drop(orders::place_of(&bed, region, CALLERS, Until::At(Instant::now() + LIMIT), vec![line]).await) })
    };
    sleep(WARM).await;
    let pid = bed.processes().into_iter().find(|(name, _)| *name == format!("{region}/order")).context("the order service runs")?.1;
    if way == Checkout::TwoPhase {
        let deadline = Instant::now() + LIMIT;
        while prepared(database).await? == 0 {
            ensure!(Instant::now() < deadline, "no order was between the phases within {} s", LIMIT.as_secs());
        }
    }
    death.cancel();
    process::signal(pid, Signal::KILL);
    sleep(REACTION).await;
    let left = prepared(database).await?;
    timeout(LIMIT, buying).await.context("the callers did not end")??;
    all_end(database).await?;
    stop.cancel();
    Ok((stranger.await??, left))
}

/// Orders whose stock waits for a decision.
async fn prepared(database: &mut PgConnection) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM pg_prepared_xacts WHERE gid LIKE 'inventory/%'").fetch_one(database).await?)
}

async fn all_end(database: &mut PgConnection) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let open = "SELECT count(*) FROM \"order\".orders WHERE state IN ('placed', 'confirmed')";
        let open: i64 = sqlx::query_scalar(open).fetch_one(&mut *database).await?;
        if open == 0 && prepared(database).await? == 0 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{open} orders had not ended within {} s", LIMIT.as_secs());
        sleep(PAUSE).await;
    }
}

/// Reserves one piece and gives it back, again and again until `stop`; the longest time that a reservation took, tried until it was had, of
/// those that ended before `death` and of the others.
async fn stranger(
    mut inventory: InventoryServiceClient<Channel>,
    sku: String,
    death: CancellationToken,
    stop: CancellationToken,
) -> Result<(Duration, Duration)> {
    let (mut before, mut after) = (Duration::ZERO, Duration::ZERO);
    while !stop.is_cancelled() {
        let order_id = Uuid::now_v7().to_string();
        let begun = Instant::now();
        let lines = vec![Line { sku: sku.clone(), quantity: 1 }];
        let idempotency_key = format!("{order_id}/reserve");
        let request = ReserveRequest { order_id: order_id.clone(), lines, idempotency_key, ..ReserveRequest::default() };
        while let Err(status) = inventory.reserve(request.clone()).await {
            ensure!(begun.elapsed() < LIMIT, "a stranger cannot reserve: {}", status.message());
        }
        let longest = if death.is_cancelled() { &mut after } else { &mut before };
        *longest = begun.elapsed().max(*longest);
        let idempotency_key = format!("{order_id}/release");
        inventory.release(ReleaseRequest { order_id, idempotency_key, ..ReleaseRequest::default() }).await?;
        sleep(PAUSE).await;
    }
    Ok((before, after))
}
