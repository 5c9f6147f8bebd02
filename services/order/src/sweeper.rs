//! Starts the workflow of every open order that has none: after a crash between commit and start, or while Temporal was away.

use std::time::Duration;

use ids::Region;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{metrics, saga::Starter, store};

const INTERVAL: Duration = Duration::from_secs(2);

/// Sweeps until `shutdown`.
pub(crate) async fn run(pool: PgPool, home: Region, starter: Starter, shutdown: CancellationToken) {
    while shutdown.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        match store::list_unstarted(&pool, home).await {
            Ok(ids) => {
                metrics::set_unstarted(ids.len());
                ids.into_iter().for_each(|id| starter.start_soon(id));
            }
            Err(error) => tracing::warn!(%error, "sweep failed"),
        }
    }
}
