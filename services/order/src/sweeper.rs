//! Sees to every open order and every return that nobody seems to see to: after a crash between commit and start, or while Temporal was away.

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{checkout::Driver, error::Error, metrics, saga::Starter, store::sagas};

const INTERVAL: Duration = Duration::from_secs(2);
/// Longest wait for the database.
const PATIENCE: Duration = Duration::from_secs(15);

/// Sweeps until `shutdown`.
pub(crate) async fn run(pool: PgPool, driver: Driver, starter: Starter, shutdown: CancellationToken) {
    while shutdown.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        match tokio::time::timeout(PATIENCE, sweep(&pool, &driver, &starter)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "sweep failed"),
            Err(_) => tracing::warn!("sweep takes too long"),
        }
    }
}

async fn sweep(pool: &PgPool, driver: &Driver, starter: &Starter) -> Result<(), Error> {
    let orders = sagas::list_unstarted_orders(pool).await?;
    let returns = sagas::list_unstarted_returns(pool).await?;
    metrics::set_unstarted(orders.iter().chain(&returns).filter(|order| !order.was_started).count());
    orders.into_iter().for_each(|order| driver.start_soon(order.id));
    returns.into_iter().for_each(|order| starter.start_return_soon(order.id));
    Ok(())
}
