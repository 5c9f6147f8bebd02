//! Forgets what is no longer needed.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};

/// Rows deleted at a time: far fewer than a statement has time for.
const BATCH: u64 = 5000;
macro_rules! delete {
    ($table:literal, $which:literal) => {
        concat!("DELETE FROM ", $table, " WHERE ctid IN (SELECT ctid FROM ", $table, " WHERE ", $which, " LIMIT 5000)")
    };
}
const STATEMENTS: [&str; 3] = [
    delete!("outbox", "sent_at < now() - interval '24 hours' AND refused IS NULL"),
    delete!("inbox", "received_at < now() - interval '7 days'"),
    delete!("idempotency_keys", "created_at < now() - interval '24 hours'"),
];

/// Once an hour deletes sent events and idempotency keys older than 24 h and inbox rows older than 7 days (Kafka keeps its messages
/// for that long, so a later redelivery is impossible). Runs until dropped.
pub async fn prune(pool: PgPool) {
    let mut ticks = interval(Duration::from_secs(3600));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for statement in STATEMENTS {
            loop {
                match sqlx::query(statement).execute(&pool).await {
                    Ok(deleted) if deleted.rows_affected() == BATCH => {}
                    Ok(_) => break,
                    Err(error) => {
                        tracing::warn!(%error, statement, "prune failed, next try in an hour");
                        break;
                    }
                }
            }
        }
    }
}
