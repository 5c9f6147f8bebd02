//! Events that wait to be published, written in the transaction of the change they tell of.

use sqlx::PgConnection;
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

/// Adds `event` to the outbox, with the trace of the current span.
///
/// The caller must hold the lock of the aggregate's row, so that ids grow in commit order for each key.
///
/// # Errors
/// Of the database.
pub async fn append_in(tx: &mut PgConnection, event: &Event) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO outbox (event_id, topic, key, type, payload, traceparent) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(event.id)
        .bind(event.topic)
        .bind(&event.key)
        .bind(event.kind)
        .bind(&event.payload)
        .bind(telemetry::current_traceparent())
        .execute(tx)
        .await
        .map(drop)
}
