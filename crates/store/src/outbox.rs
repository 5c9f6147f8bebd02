//! Events that wait to be published, written in the transaction of the change they tell of.

use ids::Region;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

/// An event to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id; consumers drop a second one with the same id.
    pub id: Uuid,
    /// Topic it goes to.
    pub topic: &'static str,
    /// Aggregate id: events of one key stay in order.
    pub key: String,
    /// `CloudEvents` type, e.g. `order.placed`.
    pub kind: &'static str,
    /// Protobuf bytes.
    pub payload: Vec<u8>,
}

/// Adds `event` to the outbox, with the trace of the current span. `home` is that of the row that it tells of, when that is mirrored: if the change is
/// undone, so is the event.
///
/// The caller must hold the lock of the aggregate's row, so that ids grow in commit order for each key.
///
/// # Errors
/// Of the database.
pub async fn append_in(tx: &mut PgConnection, event: &Event, home: Option<Region>) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO outbox (event_id, topic, key, type, payload, traceparent, home) VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(event.id)
        .bind(event.topic)
        .bind(&event.key)
        .bind(event.kind)
        .bind(&event.payload)
        .bind(telemetry::current_traceparent())
        .bind(home.map(Region::as_str))
        .execute(tx)
        .await
        .map(drop)
}

/// How far the relay has come: all that was committed up to this moment is in Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Progress {
    /// The moment, by the database's clock.
    pub confirmed_at: OffsetDateTime,
    /// What came after it is not all in the slot: the table must be read first.
    pub is_interrupted: bool,
}

/// Reads the relay's progress.
///
/// # Errors
/// Of the database.
pub async fn progress(pool: &PgPool) -> sqlx::Result<Progress> {
    sqlx::query_as("SELECT confirmed_at, is_interrupted FROM outbox_progress").fetch_one(pool).await
}

/// Notes the relay's progress.
///
/// # Errors
/// Of the database.
pub async fn set_progress(pool: &PgPool, progress: Progress) -> sqlx::Result<()> {
    sqlx::query("UPDATE outbox_progress SET confirmed_at = greatest(confirmed_at, $1), is_interrupted = $2")
        .bind(progress.confirmed_at)
        .bind(progress.is_interrupted)
        .execute(pool)
        .await
        .map(drop)
}

/// Sets an event aside for good.
///
/// # Errors
/// Of the database.
pub async fn refuse(pool: &PgPool, event_id: Uuid, topic: &str, key: &str, cause: &str) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO outbox_refused (event_id, topic, key, cause) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
        .bind(event_id)
        .bind(topic)
        .bind(key)
        .bind(cause)
        .execute(pool)
        .await
        .map(drop)
}

/// Forgets events whose changes are undone.
///
/// # Errors
/// Of the database.
pub async fn forget(pool: &PgPool, events: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM outbox WHERE event_id = ANY ($1)").bind(events).execute(pool).await.map(drop)
}
