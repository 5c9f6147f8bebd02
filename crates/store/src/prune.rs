//! Forgets what is no longer needed.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};

const STATEMENTS: [&str; 3] = [
    "DELETE FROM outbox WHERE sent_at < now() - interval '24 hours'",
    "DELETE FROM inbox WHERE received_at < now() - interval '7 days'",
    "DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'",
];

/// Once an hour deletes sent events and idempotency keys older than 24 h and inbox rows older than 7 days (Kafka keeps its messages
/// for that long, so a later redelivery is impossible). Runs until dropped.
pub async fn prune(pool: PgPool) {
    let mut ticks = interval(Duration::from_secs(3600));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for statement in STATEMENTS {
            if let Err(error) = sqlx::query(statement).execute(&pool).await {
                tracing::warn!(%error, statement, "prune failed, next try in an hour");
            }
        }
    }
}
