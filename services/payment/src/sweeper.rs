//! Starts the workflow of every intent that is open for too long: after a crash, or while Temporal was away. Also says how many are open.

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{
    error::Error,
    metrics,
    store::intents::{self, Open},
    workflow::Starter,
};

const INTERVAL: Duration = Duration::from_secs(2);
/// Longest wait for the database.
const PATIENCE: Duration = Duration::from_secs(15);

/// When an open intent is followed by a workflow although no call asked for that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sweeper {
    /// How old it must be.
    pub(crate) follow_after: Duration,
    /// How old it must be while the shopper is asked: the provider tells of the answer, but what it tells may be lost.
    pub(crate) step_up_patience: Duration,
}

impl Sweeper {
    /// Sweeps until `shutdown`.
    pub(crate) async fn run(self, pool: PgPool, starter: Starter, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            match tokio::time::timeout(PATIENCE, self.sweep(&pool, &starter)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "sweep failed"),
                Err(_) => tracing::warn!("sweep takes too long"),
            }
        }
    }

    async fn sweep(self, pool: &PgPool, starter: &Starter) -> Result<(), Error> {
        let open = intents::list_open(pool).await?;
        metrics::set_open(open.iter().map(|open| &open.intent));
        starter.forget_old();
        for open in open.into_iter().filter(|open| self.is_overdue(open)) {
            starter.start_soon(open.order_id, open.intent);
        }
        Ok(())
    }

    fn is_overdue(self, open: &Open) -> bool {
        open.age > if open.waits_for_shopper { self.step_up_patience } else { self.follow_after }
    }
}
