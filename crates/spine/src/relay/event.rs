//! An outbox row on its way, with its `CloudEvents` headers.

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
pub(super) struct Envelope<'a> {
    pub(super) event_id: Uuid,
    pub(super) topic: &'a str,
    pub(super) key: &'a str,
    pub(super) payload: &'a [u8],
    /// When it was committed, or, read from the table, when its transaction began.
    pub(super) committed_at: OffsetDateTime,
    kind: &'a str,
    traceparent: Option<&'a str>,
    pub(super) created_at: OffsetDateTime,
}

/// A moment as text. Rows of one transaction share theirs, so it is mostly the last one's.
#[derive(Debug)]
pub(super) struct Clock {
    at: OffsetDateTime,
    text: String,
}

impl Default for Clock {
    fn default() -> Self {
        Self::at(OffsetDateTime::UNIX_EPOCH)
    }
}

impl Clock {
    fn at(at: OffsetDateTime) -> Self {
        Self { at, text: at.format(&Rfc3339).unwrap_or_default() }
    }

    /// `at` by RFC 3339.
    pub(super) fn tell(&mut self, at: OffsetDateTime) -> &str {
        if self.at != at {
            *self = Self::at(at);
        }
        &self.text
    }
}

impl<'a> From<&'a OutboxRow> for Envelope<'a> {
    fn from(row: &'a OutboxRow) -> Self {
        Self {
            event_id: row.event_id,
            topic: &row.topic,
            key: &row.key,
            payload: &row.payload,
            committed_at: row.created_at,
            kind: &row.kind,
            traceparent: row.traceparent.as_deref(),
            created_at: row.created_at,
        }
    }
}

impl<'a> Envelope<'a> {
    /// From a row as the WAL has it.
    pub(super) fn read(row: &'a cdc::Row, committed_at: OffsetDateTime) -> Result<Self, cdc::Error> {
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

    /// `CloudEvents` 1.0, Kafka protocol binding, binary mode. `time` is that of `created_at`.
    pub(super) fn headers(&self, source: &str, time: &str) -> OwnedHeaders {
        let mut id = Uuid::encode_buffer();
        let id: &str = self.event_id.hyphenated().encode_lower(&mut id);
        let pairs = [
            ("ce_specversion", "1.0"),
            ("ce_id", id),
            ("ce_source", source),
            ("ce_type", self.kind),
            ("ce_subject", self.key),
            ("ce_time", time),
            ("content-type", "application/protobuf"),
        ];
        let traceparent = self.traceparent.map(|traceparent| ("traceparent", traceparent));
        let headers = OwnedHeaders::new_with_capacity(pairs.len() + 1);
        pairs.into_iter().chain(traceparent).fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
    }
}
