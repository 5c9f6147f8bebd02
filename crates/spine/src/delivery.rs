//! A message as it came from Kafka: `CloudEvents` binary mode, Kafka protocol binding 1.0.2.

use std::time::Duration;

use bytes::Bytes;
use rdkafka::{
    Message,
    message::{BorrowedMessage, Headers as _, OwnedHeaders},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::consumer::header;

/// A message with its `CloudEvents` attributes.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Where it came from.
    pub topic: String,
    /// Partition of the topic.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Aggregate id.
    pub key: String,
    /// `ce_id`.
    pub event_id: Uuid,
    /// `ce_type`, e.g. `order.placed`.
    pub kind: String,
    /// `ce_time`: when its change began.
    pub time: Option<OffsetDateTime>,
    /// W3C `traceparent` of the change that caused it.
    pub traceparent: Option<String>,
    /// Protobuf bytes.
    pub payload: Bytes,
    /// Set when it is a dead letter that comes again.
    pub again: Option<Again>,
}

/// A dead letter comes again, for one consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// For which.
    pub consumer: String,
    /// Not to be applied, but to be done with.
    pub is_dropped: bool,
}

/// Why a message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No `ce_id`, or not a UUID.
    #[error("header ce_id is missing or no UUID")]
    Id,
    /// No `ce_type`.
    #[error("header ce_type is missing")]
    Kind,
    /// No key, or not UTF-8.
    #[error("key is missing or not UTF-8")]
    Key,
}

/// A message as it came, readable or not.
#[derive(Debug)]
pub struct Received {
    /// What it says.
    pub delivery: Result<Delivery, Malformed>,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) payload: Bytes,
    pub(crate) headers: Option<OwnedHeaders>,
}

impl From<&BorrowedMessage<'_>> for Received {
    fn from(message: &BorrowedMessage<'_>) -> Self {
        let payload = Bytes::copy_from_slice(message.payload().unwrap_or_default());
        Self {
            delivery: Delivery::of(message, payload.clone()),
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().unwrap_or_default().to_vec(),
            payload,
            headers: message.headers().map(rdkafka::message::BorrowedHeaders::detach),
        }
    }
}

impl Received {
    /// Its headers, without those of an earlier stay among the dead letters.
    pub(crate) fn own_headers(&self) -> OwnedHeaders {
        let Some(headers) = &self.headers else { return OwnedHeaders::new() };
        let own = headers.iter().filter(|header| !header.key.starts_with(header::PREFIX));
        own.fold(OwnedHeaders::new(), |own, header| own.insert(header))
    }
}

impl Delivery {
    /// Reads `message`.
    ///
    /// # Errors
    /// [`Malformed`] when it is not one of ours.
    pub(crate) fn read(message: &BorrowedMessage<'_>) -> Result<Self, Malformed> {
        Self::of(message, Bytes::copy_from_slice(message.payload().unwrap_or_default()))
    }

    fn of(message: &BorrowedMessage<'_>, payload: Bytes) -> Result<Self, Malformed> {
        let header = |name: &str| {
            let headers = message.headers()?;
            let header = headers.iter().find(|header| header.key == name)?;
            std::str::from_utf8(header.value?).ok().map(str::to_owned)
        };
        let key = message.key().and_then(|key| std::str::from_utf8(key).ok()).ok_or(Malformed::Key)?;
        let is_dropped = header(header::ACTION).is_some_and(|action| action == "drop");
        Ok(Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            key: key.to_owned(),
            event_id: header("ce_id").and_then(|id| id.parse().ok()).ok_or(Malformed::Id)?,
            kind: header("ce_type").ok_or(Malformed::Kind)?,
            time: header("ce_time").and_then(|time| OffsetDateTime::parse(&time, &Rfc3339).ok()),
            traceparent: header("traceparent"),
            payload,
            again: header(header::FOR).map(|consumer| Again { consumer, is_dropped }),
        })
    }

    /// How long ago its change began.
    pub(crate) fn age(&self) -> Option<Duration> {
        (OffsetDateTime::now_utc() - self.time?).try_into().ok()
    }
}
