//! Dead letters: messages that their consumer could not apply, kept on `<topic>.dlq` with cause and origin.

use std::time::Duration;

use rdkafka::{
    error::KafkaError,
    message::Header,
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};

use tokio::sync::OnceCell;

use crate::{client, delivery::Received, topics};

const RETRY: Duration = Duration::from_secs(2);

/// Headers of a dead letter. `dlq_for` on a message in its own topic says that it comes again, for one consumer only.
pub(crate) mod header {
    /// What they all begin with.
    pub(crate) const PREFIX: &str = "dlq_";
    /// Why.
    pub(crate) const CAUSE: &str = "dlq_cause";
    /// `topic/partition/offset`.
    pub(crate) const ORIGIN: &str = "dlq_origin";
    /// Which consumer group could not apply it.
    pub(crate) const CONSUMER: &str = "dlq_consumer";
    /// How often it was tried.
    pub(crate) const ATTEMPTS: &str = "dlq_attempts";
    /// The consumer group that the message comes again for; others pass over it.
    pub(crate) const FOR: &str = "dlq_for";
    /// With [`FOR`]: `replay`, to be applied, or `drop`, to be passed over for good.
    pub(crate) const ACTION: &str = "dlq_action";
}

/// Sends dead letters.
pub(super) struct Letters {
    bootstrap: String,
    pub(super) group: &'static str,
    /// Made for the first letter: most consumers never send one, and a producer has threads and a connection of its own.
    producer: OnceCell<FutureProducer>,
}

impl Letters {
    pub(super) fn new(bootstrap: String, group: &'static str) -> Self {
        Self { bootstrap, group, producer: OnceCell::new() }
    }

    async fn producer(&self) -> Result<&FutureProducer, KafkaError> {
        self.producer.get_or_try_init(async || client::producer(&self.bootstrap).create()).await
    }

    /// Puts `received` to the dead letters. Tried until Kafka takes it: a message is never dropped.
    pub(super) async fn send(&self, received: &Received, cause: &str, attempts: u32) {
        let topic = topics::dead_letters_of(&received.topic);
        let origin = format!("{}/{}/{}", received.topic, received.partition, received.offset);
        let attempts = attempts.to_string();
        let added = [
            (header::CAUSE, cause),
            (header::ORIGIN, origin.as_str()),
            (header::CONSUMER, self.group),
            (header::ATTEMPTS, attempts.as_str()),
        ];
        loop {
            let headers =
                added.iter().fold(received.own_headers(), |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }));
            let record = FutureRecord::to(&topic).key(&received.key[..]).payload(&received.payload[..]).headers(headers);
            let sent = match self.producer().await {
                Ok(producer) => producer.send(record, Timeout::Never).await.map_err(|(error, _)| error),
                Err(error) => Err(error),
            };
            match sent {
                Ok(_) => return,
                Err(error) => tracing::warn!(%error, "dead letter will be tried again"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}
