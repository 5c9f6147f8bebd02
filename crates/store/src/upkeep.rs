//! Makes the tables of the days to come and forgets what is no longer needed.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};

/// Rows deleted at a time: far fewer than a statement has time for.
const BATCH: u64 = 5000;

/// Each in a transaction of its own: one that fails, e.g. because a long transaction is in its way, is tried again in an hour.
const STATEMENTS: [&str; 5] = [
    "SELECT make_day('outbox', 'created_at', (now() AT TIME ZONE 'UTC')::date + ahead) FROM generate_series(0, 7) AS ahead",
    "SELECT make_day('inbox', 'event_at', (now() AT TIME ZONE 'UTC')::date + ahead) FROM generate_series(0, 7) AS ahead",
    // A day that is not in Kafka yet stays, however old; the hour is for transactions that began long before their commit.
    "SELECT drop_days('outbox', least(now() - interval '1 day', confirmed_at - interval '1 hour')) FROM outbox_progress WHERE NOT is_interrupted",
    // Kafka keeps its messages for 7 days, so what is older cannot come again.
    "SELECT drop_days('inbox', now() - interval '8 days')",
    "DELETE FROM idempotency_keys WHERE ctid IN (SELECT ctid FROM idempotency_keys WHERE created_at < now() - interval '24 hours' LIMIT 5000)",
];

/// Looks after the shared tables at once and then every hour. Runs until dropped.
pub async fn upkeep(pool: PgPool) {
    let mut ticks = interval(Duration::from_secs(3600));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for statement in STATEMENTS {
            loop {
                match sqlx::query(statement).execute(&pool).await {
                    Ok(done) if statement.starts_with("DELETE") && done.rows_affected() == BATCH => {}
                    Ok(_) => break,
                    Err(error) => {
                        tracing::warn!(%error, statement, "upkeep failed, next try in an hour");
                        break;
                    }
                }
            }
        }
    }
}
