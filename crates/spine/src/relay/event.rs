//! An outbox row on its way, with its `CloudEvents` headers.

use bytes::Bytes;
use rdkafka::message::{Header, OwnedHeaders};
use sqlx::FromRow;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

/// A row as the table has it.
#[derive(Debug, FromRow)]
pub(super) struct OutboxRow {
    pub(super) id: i64,
    event_id: Uuid,
    topic: String,
    key: String,
    kind: String,
    payload: Vec<u8>,
    traceparent: Option<String>,
    pub(super) created_at: OffsetDateTime,
}

/// An event to be published.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) event_id: Uuid,
    pub(super) topic: String,
    pub(super) key: String,
    pub(super) payload: Bytes,
    /// When it was committed, or, read from the table, when its transaction began.
    pub(super) committed_at: OffsetDateTime,
    kind: String,
    traceparent: Option<String>,
    created_at: OffsetDateTime,
}

impl From<OutboxRow> for Envelope {
    fn from(row: OutboxRow) -> Self {
        let OutboxRow { id: _, event_id, topic, key, kind, payload, traceparent, created_at } = row;
        Self { event_id, topic, key, payload: payload.into(), committed_at: created_at, kind, traceparent, created_at }
    }
}

impl Envelope {
    /// From a row as the WAL has it.
    pub(super) fn read(row: &cdc::Row, committed_at: OffsetDateTime) -> Result<Self, cdc::Error> {
        Ok(Self {
            event_id: row.uuid("event_id")?,
            topic: row.text("topic")?,
            key: row.text("key")?,
            payload: row.bytea("payload")?,
            committed_at,
            kind: row.text("type")?,
            traceparent: row.optional_text("traceparent")?,
            created_at: row.timestamptz("created_at")?,
        })
    }

    /// `CloudEvents` 1.0, Kafka protocol binding, binary mode.
    pub(super) fn headers(&self, source: &str) -> OwnedHeaders {
        let id = self.event_id.to_string();
        let time = self.created_at.format(&Rfc3339).unwrap_or_default();
        let pairs = [
            ("ce_specversion", "1.0"),
            ("ce_id", &id),
            ("ce_source", source),
            ("ce_type", &self.kind),
            ("ce_subject", &self.key),
            ("ce_time", &time),
            ("content-type", "application/protobuf"),
        ];
        let traceparent = self.traceparent.as_deref().map(|traceparent| ("traceparent", traceparent));
        let headers = OwnedHeaders::new_with_capacity(pairs.len() + 1);
        pairs.into_iter().chain(traceparent).fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
    }
}
