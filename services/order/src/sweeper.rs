//! Starts the workflow of every open order that has none: after a crash between commit and start, or while Temporal was away.

use std::time::Duration;

use ids::Region;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{metrics, saga::Starter, store};

const INTERVAL: Duration = Duration::from_secs(2);
/// Longest wait for the database.
const PATIENCE: Duration = Duration::from_secs(15);

/// Sweeps until `shutdown`.
pub(crate) async fn run(pool: PgPool, home: Region, starter: Starter, shutdown: CancellationToken) {
    while shutdown.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        match tokio::time::timeout(PATIENCE, store::list_unstarted(&pool, home)).await {
            Ok(Ok(orders)) => {
                metrics::set_unstarted(orders.iter().filter(|order| !order.was_started).count());
                orders.into_iter().for_each(|order| starter.start_soon(order.id));
            }
            Ok(Err(error)) => tracing::warn!(%error, "sweep failed"),
            Err(_) => tracing::warn!("sweep takes too long"),
        }
    }
}
