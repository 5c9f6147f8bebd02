//! Kafka's client as the relay uses it. Its answers are taken by whoever sends, when it looks: a thread that waited for them would be woken for
//! each, and would give back the memory that another one took.

use std::sync::{Mutex, PoisonError};

use rdkafka::{
    ClientContext, Message as _,
    error::KafkaError,
    producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext},
};

use crate::{Error, client};

pub(super) type Producer = BaseProducer<Landings>;

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

/// Answers that nobody has looked at yet. Only the thread that polls writes them, so the lock is never waited for.
#[derive(Default)]
pub(super) struct Landings(Mutex<Vec<Landing>>);

impl Landings {
    fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Swaps the answers that have come with an empty list.
pub(super) fn take(producer: &Producer, empty: &mut Vec<Landing>) {
    let landings = producer.context();
    let mut count = 0;
    loop {
        producer.poll(std::time::Duration::ZERO);
        let now = landings.count();
        if now == count {
            break;
        }
        count = now;
    }
    std::mem::swap(&mut *landings.0.lock().unwrap_or_else(PoisonError::into_inner), empty);
}

impl ClientContext for Landings {}

impl ProducerContext for Landings {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let refusal = result.as_ref().err().map(|(error, message)| {
            let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
            Box::new(Refusal { error: error.clone(), topic: message.topic().to_owned(), key })
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Landing { number, refusal });
    }
}
