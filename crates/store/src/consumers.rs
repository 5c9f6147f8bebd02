//! How far a consumer has come, and what it has put aside.

use std::collections::HashSet;

use sqlx::PgConnection;
use uuid::Uuid;

/// Notes that `consumer` has applied everything of a topic's partition below `next`. False when it was not at `expected`: somebody moved it.
///
/// # Errors
/// Of the database.
pub async fn advance_in(
    tx: &mut PgConnection,
    consumer: &str,
    (topic, partition): (&str, i32),
    expected: Option<i64>,
    next: i64,
) -> sqlx::Result<bool> {
    let advanced = sqlx::query(
        "INSERT INTO consumer_offsets AS current (consumer, topic, partition, next_offset) VALUES ($1, $2, $3, $5)
         ON CONFLICT ON CONSTRAINT consumer_offsets_pkey DO UPDATE SET next_offset = EXCLUDED.next_offset
         WHERE current.next_offset = $4",
    )
    .bind(consumer)
    .bind(topic)
    .bind(partition)
    .bind(expected)
    .bind(next)
    .execute(tx)
    .await?;
    Ok(advanced.rows_affected() == 1)
}

/// The offset that `consumer` wants next; `None` before its first message.
///
/// # Errors
/// Of the database.
pub async fn next_offset(connection: &mut PgConnection, consumer: &str, topic: &str, partition: i32) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar("SELECT next_offset FROM consumer_offsets WHERE consumer = $1 AND topic = $2 AND partition = $3")
        .bind(consumer)
        .bind(topic)
        .bind(partition)
        .fetch_optional(connection)
        .await
}

/// Which of `keys` have messages of `topic` among the dead letters of `consumer`.
///
/// # Errors
/// Of the database.
pub async fn dead_among(connection: &mut PgConnection, consumer: &str, topic: &str, keys: &[&str]) -> sqlx::Result<HashSet<String>> {
    let dead: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT key FROM dead_letters WHERE consumer = $1 AND topic = $2 AND key = ANY($3)")
            .bind(consumer)
            .bind(topic)
            .bind(keys)
            .fetch_all(connection)
            .await?;
    Ok(dead.into_iter().collect())
}

/// Whether this event is among the dead letters of `consumer`.
///
/// # Errors
/// Of the database.
pub async fn is_buried(connection: &mut PgConnection, consumer: &str, event_id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM dead_letters WHERE consumer = $1 AND event_id = $2)")
        .bind(consumer)
        .bind(event_id)
        .fetch_one(connection)
        .await
}

/// Whether an earlier event of its key is among the dead letters of `consumer`.
///
/// # Errors
/// Of the database.
pub async fn is_behind(connection: &mut PgConnection, consumer: &str, event_id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM dead_letters AS own JOIN dead_letters AS other USING (consumer, topic, key)
             WHERE own.consumer = $1 AND own.event_id = $2 AND other.letter_no < own.letter_no
         )",
    )
    .bind(consumer)
    .bind(event_id)
    .fetch_one(connection)
    .await
}

/// An event of `key` is among the dead letters from now on.
///
/// # Errors
/// Of the database.
pub async fn bury_in(tx: &mut PgConnection, consumer: &str, topic: &str, key: &str, event_id: Uuid, cause: &str) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO dead_letters (consumer, event_id, topic, key, cause) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING")
        .bind(consumer)
        .bind(event_id)
        .bind(topic)
        .bind(key)
        .bind(cause)
        .execute(tx)
        .await
        .map(drop)
}

/// It is no longer.
///
/// # Errors
/// Of the database.
pub async fn unbury_in(tx: &mut PgConnection, consumer: &str, event_id: Uuid) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM dead_letters WHERE consumer = $1 AND event_id = $2").bind(consumer).bind(event_id).execute(tx).await.map(drop)
}
