//! Reads dead letters and sends them again, for whoever looks after the system.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use rdkafka::{
    Message as _,
    message::{Header, Headers as _, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Error, client, consumer::header, delivery::Received, read::Reader, topics};

const PATIENCE: Duration = Duration::from_secs(10);

/// A dead letter.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Its offset among the dead letters of its topic, by which it is named.
    pub offset: i64,
    /// The topic that it was on.
    pub topic: String,
    /// Its key.
    pub key: String,
    /// `ce_id`; absent when it has none, and then it cannot be sent again.
    pub event_id: Option<Uuid>,
    /// `ce_type`.
    pub kind: String,
    /// Which consumer group could not apply it.
    pub consumer: String,
    /// Why.
    pub cause: String,
    /// `topic/partition/offset` of where it was.
    pub origin: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was put aside, by Kafka's clock.
    pub at: Option<OffsetDateTime>,
    /// What it says.
    pub payload: Bytes,
    headers: OwnedHeaders,
}

/// What to do with a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Let its consumer apply it.
    Replay,
    /// Let its consumer pass over it for good.
    Drop,
}

/// All dead letters of `topic`, oldest first, those that were sent again since included.
///
/// # Errors
/// When Kafka is away.
pub async fn read(bootstrap: &str, topic: &str) -> Result<Vec<Letter>, Error> {
    let mut reader = Reader::open(bootstrap.to_owned(), topics::dead_letters_of(topic), BTreeMap::new()).await?;
    let mut letters = Vec::new();
    while !reader.is_caught_up() {
        let message = reader.next().await?;
        let text = |name: &str| {
            let headers = message.headers()?;
            let found = headers.iter().filter(|header| header.key == name).last()?;
            Some(String::from_utf8_lossy(found.value?).into_owned())
        };
        let received = Received::from(&message);
        letters.push(Letter {
            offset: received.offset,
            topic: topic.to_owned(),
            key: String::from_utf8_lossy(&received.key).into_owned(),
            event_id: text("ce_id").and_then(|id| id.parse().ok()),
            kind: text("ce_type").unwrap_or_default(),
            consumer: text(header::CONSUMER).unwrap_or_default(),
            cause: text(header::CAUSE).unwrap_or_default(),
            origin: text(header::ORIGIN).unwrap_or_default(),
            attempts: text(header::ATTEMPTS).and_then(|attempts| attempts.parse().ok()).unwrap_or_default(),
            at: message.timestamp().to_millis().and_then(|at| OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000_000).ok()),
            payload: received.payload.clone(),
            headers: received.own_headers(),
        });
    }
    Ok(letters)
}

/// Puts `letter` on its topic once more, for its consumer only. Safe to repeat: the consumer applies it at most once.
///
/// # Errors
/// When Kafka is away.
pub async fn send_again(bootstrap: &str, letter: &Letter, action: Action) -> Result<(), Error> {
    let producer: FutureProducer = client::producer(bootstrap).create()?;
    let action = match action {
        Action::Replay => "replay",
        Action::Drop => "drop",
    };
    let headers = [(header::FOR, letter.consumer.as_str()), (header::ACTION, action)]
        .into_iter()
        .fold(letter.headers.clone(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
    let record = FutureRecord::to(&letter.topic).key(&letter.key).payload(&letter.payload[..]).headers(headers);
    let sent = tokio::time::timeout(PATIENCE, producer.send(record, Timeout::Never)).await;
    sent.map_err(|_| Error::Patience(PATIENCE))?.map_err(|(error, _)| error)?;
    Ok(())
}
