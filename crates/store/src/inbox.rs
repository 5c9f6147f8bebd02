//! Events already applied.

use sqlx::PgConnection;
use uuid::Uuid;

/// Records that `consumer` applies `event_id` in this transaction. False when it did so before: then nothing is to be done.
///
/// # Errors
/// Of the database.
pub async fn is_first_in(tx: &mut PgConnection, consumer: &str, event_id: Uuid) -> sqlx::Result<bool> {
    let result = sqlx::query("INSERT INTO inbox (consumer, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(consumer)
        .bind(event_id)
        .execute(tx)
        .await?;
    Ok(result.rows_affected() == 1)
}
