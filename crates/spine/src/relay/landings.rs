//! Kafka's client as the relay uses it: one note for each event that has landed, and one wake for all that land together.

use std::sync::{Mutex, PoisonError};

use rdkafka::{
    ClientContext, Message as _,
    error::KafkaError,
    producer::{DeliveryResult, ProducerContext, ThreadedProducer},
};
use tokio::sync::Notify;

use crate::{Error, client};

pub(super) type Producer = ThreadedProducer<Landings>;

/// A producer whose answers are in its context.
pub(super) fn producer(bootstrap: &str) -> Result<Producer, Error> {
    let mut config = client::producer(bootstrap);
    // With one request under way what comes meanwhile makes the next batch; an event that comes alone need not wait for others.
    config.set("linger.ms", "0");
    Ok(config.create_with_context(Landings::default())?)
}

/// Kafka's answer for one event.
pub(super) struct Landing {
    /// The number it was sent with.
    pub(super) number: usize,
    pub(super) refusal: Option<Box<Refusal>>,
}

/// Why an event was not taken.
pub(super) struct Refusal {
    pub(super) error: KafkaError,
    pub(super) topic: String,
    pub(super) key: String,
}

/// Answers that nobody has looked at yet.
#[derive(Default)]
pub(super) struct Landings {
    landed: Mutex<Vec<Landing>>,
    news: Notify,
}

impl Landings {
    /// Swaps them with an empty list; waits when there are none. Safe to cancel.
    pub(super) async fn take(&self, empty: &mut Vec<Landing>) {
        loop {
            {
                let mut landed = self.landed.lock().unwrap_or_else(PoisonError::into_inner);
                if !landed.is_empty() {
                    std::mem::swap(&mut *landed, empty);
                    return;
                }
            }
            self.news.notified().await;
        }
    }
}

impl ClientContext for Landings {}

impl ProducerContext for Landings {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let refusal = result.as_ref().err().map(|(error, message)| {
            let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
            Box::new(Refusal { error: error.clone(), topic: message.topic().to_owned(), key })
        });
        let mut landed = self.landed.lock().unwrap_or_else(PoisonError::into_inner);
        landed.push(Landing { number, refusal });
        if landed.len() == 1 {
            self.news.notify_one();
        }
    }
}
