//! Consumes topics: each message is handled to its end before its offset is stored.

use std::time::Duration;

use async_trait::async_trait;
use rdkafka::{
    Message as _,
    consumer::{Consumer as _, StreamConsumer},
    message::{BorrowedMessage, Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{Delivery, Error, client, topics};

/// Between two errors of the client, so that a burst of them does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(10);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// Longest time to handle a message. A server that is gone without a word would hold the consumer for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a handler did not apply a message.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It will never work: the message goes to the dead letters.
    #[error("{0}")]
    Poison(String),
    /// Something it needs is away: tried again, in order, until it works.
    #[error("{0}")]
    Later(String),
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Later(error.to_string())
    }
}

/// Applies messages.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Applies one message: the inbox row and the effect in one transaction. A kind it does not know is no error.
    async fn handle(&self, delivery: &Delivery) -> Result<(), Refusal>;
}

/// A member of a consumer group.
#[derive(Debug)]
pub struct Consumer<H> {
    /// Kafka's address.
    pub bootstrap: String,
    /// Name of the group, the service's own.
    pub group: &'static str,
    /// What to hear.
    pub topics: &'static [&'static str],
    /// What to do with it.
    pub handler: H,
}

impl<H: Handler> Consumer<H> {
    /// Consumes beside the service.
    pub fn start(self, process: &rpc::Process, name: &'static str) {
        let shutdown = process.shutdown.clone();
        process.spawn(name, async { Ok(self.run(shutdown).await?) });
    }

    /// Consumes until `shutdown`.
    ///
    /// # Errors
    /// When the client cannot be built. Kafka being away only delays it.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let consumer: StreamConsumer = client::consumer(&self.bootstrap, self.group).create()?;
        let producer: FutureProducer = client::producer(&self.bootstrap).create()?;
        consumer.subscribe(self.topics)?;
        let consume = async {
            let mut is_away = false;
            loop {
                match consumer.recv().await {
                    Ok(message) => {
                        is_away = false;
                        self.apply(&message, &producer).await?;
                        consumer.store_offset_from_message(&message)?;
                    }
                    Err(error) => {
                        // The client tells of each attempt to connect; once is enough to read, and waiting for each would take long.
                        if !std::mem::replace(&mut is_away, true) {
                            tracing::warn!(%error, group = self.group, "kafka is away, the consumer will go on when it is back");
                        }
                        tokio::time::sleep(ERROR_PAUSE).await;
                    }
                }
            }
        };
        shutdown.run_until_cancelled(consume).await.unwrap_or(Ok(()))
    }

    async fn apply(&self, message: &BorrowedMessage<'_>, producer: &FutureProducer) -> Result<(), Error> {
        let delivery = match Delivery::read(message) {
            Ok(delivery) => delivery,
            Err(malformed) => return self.bury(message, &malformed.to_string(), producer).await,
        };
        let span = tracing::info_span!("consume", otel.name = %format!("{} process", delivery.topic), otel.kind = "consumer", event.id = %delivery.event_id);
        telemetry::continue_trace(&span, delivery.traceparent.as_deref());
        let mut pause = FIRST_RETRY;
        loop {
            let handled = tokio::time::timeout(PATIENCE, self.handler.handle(&delivery).instrument(span.clone())).await;
            match handled.unwrap_or_else(|_| Err(Refusal::Later("it takes too long".to_owned()))) {
                Ok(()) => {
                    metrics::counter!("market_spine_messages_total", "topic" => delivery.topic.clone(), "outcome" => "applied")
                        .increment(1);
                    return Ok(());
                }
                Err(Refusal::Poison(cause)) => return self.bury(message, &cause, producer).await,
                Err(Refusal::Later(cause)) => {
                    span.in_scope(
                        || tracing::warn!(%cause, topic = delivery.topic, offset = delivery.offset, "message will be tried again"),
                    );
                    metrics::counter!("market_spine_messages_total", "topic" => delivery.topic.clone(), "outcome" => "retried")
                        .increment(1);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LAST_RETRY);
                }
            }
        }
    }

    /// Moves a message to the dead letters with its cause and origin. Tried until Kafka takes it: a message is never dropped.
    async fn bury(&self, message: &BorrowedMessage<'_>, cause: &str, producer: &FutureProducer) -> Result<(), Error> {
        tracing::error!(cause, topic = message.topic(), partition = message.partition(), offset = message.offset(), "poison message");
        metrics::counter!("market_spine_messages_total", "topic" => message.topic().to_owned(), "outcome" => "dead_letter").increment(1);
        let topic = topics::dead_letters_of(message.topic());
        let origin = format!("{}/{}/{}", message.topic(), message.partition(), message.offset());
        loop {
            let headers = message.headers().map_or_else(OwnedHeaders::new, rdkafka::message::BorrowedHeaders::detach);
            let headers = [("dlq_cause", cause), ("dlq_origin", &origin), ("dlq_consumer", self.group)]
                .iter()
                .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }));
            let record = FutureRecord::to(&topic)
                .key(message.key().unwrap_or_default())
                .payload(message.payload().unwrap_or_default())
                .headers(headers);
            match producer.send(record, Timeout::Never).await {
                Ok(_) => return Ok(()),
                Err((error, _)) => tracing::warn!(%error, "dead letter will be tried again"),
            }
            tokio::time::sleep(LAST_RETRY).await;
        }
    }
}
