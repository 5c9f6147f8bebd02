//! A message as it came from Kafka: `CloudEvents` binary mode, Kafka protocol binding 1.0.2.

use bytes::Bytes;
use rdkafka::{
    Message,
    message::{BorrowedMessage, Headers as _},
};
use uuid::Uuid;

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
    /// W3C `traceparent` of the change that caused it.
    pub traceparent: Option<String>,
    /// Protobuf bytes.
    pub payload: Bytes,
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

impl Delivery {
    /// Reads `message`.
    ///
    /// # Errors
    /// [`Malformed`] when it is not one of ours.
    pub(crate) fn read(message: &BorrowedMessage<'_>) -> Result<Self, Malformed> {
        let header = |name: &str| {
            let headers = message.headers()?;
            let header = headers.iter().find(|header| header.key == name)?;
            std::str::from_utf8(header.value?).ok().map(str::to_owned)
        };
        let key = message.key().and_then(|key| std::str::from_utf8(key).ok()).ok_or(Malformed::Key)?;
        Ok(Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            key: key.to_owned(),
            event_id: header("ce_id").and_then(|id| id.parse().ok()).ok_or(Malformed::Id)?,
            kind: header("ce_type").ok_or(Malformed::Kind)?,
            traceparent: header("traceparent"),
            payload: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        })
    }
}
