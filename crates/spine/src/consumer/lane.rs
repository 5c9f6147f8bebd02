//! One partition's messages, one batch after the other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rdkafka::consumer::Consumer as _;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinHandle,
    time::Instant,
};

use super::{Client, Place, letters::Letters, sink::Sink};
use crate::{Delivery, delivery::Received};

/// Most messages that wait in a lane, and most bytes of them: then its partition is paused ..
const MOST: usize = 2000;
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// .. until so few are left.
const FEW: usize = 500;
const FEW_BYTES: usize = 2 * 1024 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// How often a message is tried that fails although nothing is away: half a minute in all.
const ATTEMPTS: u32 = 9;
/// How soon a lane with nothing to do notices that its offset was moved.
const LOOK: Duration = Duration::from_secs(10);
/// Longest time for a batch. A server that is gone without a word would hold the lane for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// Messages that nobody here wants are noted together, so often: a commit for each of them would be most of what a consumer does.
const NOTE_EVERY: Duration = Duration::from_secs(2);

/// Why a message was not applied.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It will never work: the message goes to the dead letters at once.
    #[error("{0}")]
    Poison(String),
    /// It did not work, and nothing is away that would explain it: tried some times, then to the dead letters.
    #[error("{0}")]
    Failed(String),
    /// Something it needs is away: tried again, in order, until it works.
    #[error("{0}")]
    Later(String),
    /// Somebody moved the consumer to another offset: it goes on there.
    #[error("the consumer's offset was moved")]
    Moved,
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        if store::is_unavailable(&error) { Self::Later(error.to_string()) } else { Self::Failed(error.to_string()) }
    }
}

/// What a lane says to the dispatcher.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signal {
    /// Its partition may go on.
    HasRoom,
    /// It wants its partition from this offset on.
    Wants(i64),
}

#[derive(Debug, Default)]
struct Load {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    is_paused: AtomicBool,
}

/// A lane's entrance. Its work ends when dropped: a transaction under way is rolled back.
#[derive(Debug)]
pub(super) struct Lane {
    queue: UnboundedSender<Item>,
    load: Arc<Load>,
    work: JoinHandle<()>,
}

#[derive(Debug)]
enum Item {
    Message(Box<Received>),
    /// What comes before this is not to be applied: the partition is read again from an earlier offset.
    Again,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Lane {
    pub(super) fn open<S: Sink>(
        place: Place,
        client: Arc<Client>,
        sink: Arc<S>,
        letters: Arc<Letters>,
        signal: UnboundedSender<(Place, Signal)>,
    ) -> Self {
        let (queue, items) = unbounded_channel();
        let load = Arc::<Load>::default();
        let worker = Worker { place, client, sink, letters, signal, items, load: load.clone(), expected: None, passed: None };
        Self { queue, load, work: tokio::spawn(worker.run()) }
    }

    /// Queues a message. True when the partition is to be paused.
    pub(super) fn put(&self, received: Received) -> bool {
        let messages = self.load.messages.fetch_add(1, Ordering::AcqRel) + 1;
        let bytes = self.load.bytes.fetch_add(received.payload.len(), Ordering::AcqRel) + received.payload.len();
        let _ = self.queue.send(Item::Message(Box::new(received)));
        (messages >= MOST || bytes >= MOST_BYTES) && !self.load.is_paused.swap(true, Ordering::AcqRel)
    }

    /// What is queued will come again.
    pub(super) fn forget(&self) {
        let _ = self.queue.send(Item::Again);
    }
}

struct Worker<S> {
    place: Place,
    client: Arc<Client>,
    sink: Arc<S>,
    letters: Arc<Letters>,
    signal: UnboundedSender<(Place, Signal)>,
    items: UnboundedReceiver<Item>,
    load: Arc<Load>,
    /// What the database said last is the next offset.
    expected: Option<i64>,
    /// What was passed over since, and the database does not know of.
    passed: Option<Passed>,
}

/// Messages that are not wanted.
#[derive(Debug, Clone, Copy)]
struct Passed {
    /// The offset after them.
    next: i64,
    /// When the first of them came.
    since: Instant,
}

impl<S: Sink> Worker<S> {
    async fn run(mut self) {
        let mut is_placed = false;
        loop {
            let patience = if self.passed.is_some() { NOTE_EVERY } else { LOOK };
            let item = match tokio::time::timeout(patience, self.items.recv()).await {
                Ok(Some(item)) => item,
                Ok(None) => return,
                Err(_) if self.passed.is_some() => {
                    if self.note().await == End::Moved {
                        self.move_to(None).await;
                    }
                    continue;
                }
                Err(_) => {
                    if is_placed && self.wanted().await != self.expected {
                        self.move_to(None).await;
                    }
                    continue;
                }
            };
            let Some(first) = self.take(item) else { continue };
            if !std::mem::replace(&mut is_placed, true) {
                self.expected = self.wanted().await;
                if self.expected.is_some_and(|expected| expected < first.offset) {
                    self.move_to(Some(first.offset)).await;
                    continue;
                }
            }
            let mut batch = vec![first];
            while batch.len() < self.sink.most() {
                match self.items.try_recv() {
                    Ok(item) => batch.extend(self.take(item)),
                    Err(_) => break,
                }
            }
            let from = batch[0].offset;
            if self.finish(&batch).await == End::Moved {
                self.move_to(Some(from)).await;
            }
        }
    }

    /// Reads the partition again from where the database wants it, or, when it does not say, from `from`.
    async fn move_to(&mut self, from: Option<i64>) {
        self.passed = None;
        self.expected = self.wanted().await;
        if let Some(offset) = self.expected.or(from) {
            let _ = self.signal.send((self.place.clone(), Signal::Wants(offset)));
            self.wait_for_again().await;
        }
    }

    /// A message out of the queue.
    fn take(&self, item: Item) -> Option<Received> {
        let Item::Message(received) = item else { return None };
        let bytes = self.load.bytes.fetch_sub(received.payload.len(), Ordering::AcqRel) - received.payload.len();
        let messages = self.load.messages.fetch_sub(1, Ordering::AcqRel) - 1;
        if messages <= FEW && bytes <= FEW_BYTES && self.load.is_paused.swap(false, Ordering::AcqRel) {
            let _ = self.signal.send((self.place.clone(), Signal::HasRoom));
        }
        Some(*received)
    }

    async fn wait_for_again(&mut self) {
        while let Some(item) = self.items.recv().await {
            if self.take(item).is_none() {
                return;
            }
        }
    }

    /// The offset that the database knows as the next one.
    async fn wanted(&self) -> Option<i64> {
        let mut pauses = Pauses::default();
        loop {
            match self.sink.next_offset(&self.place.0, self.place.1).await {
                Ok(offset) => return offset,
                Err(error) => pauses.rest(&error, &self.place).await,
            }
        }
    }

    async fn finish(&mut self, batch: &[Received]) -> End {
        let Some(last) = batch.last() else { return End::Done };
        if batch.iter().all(|received| received.delivery.as_ref().is_ok_and(|delivery| !self.sink.wants(delivery))) {
            return self.pass(batch.len(), last.offset + 1).await;
        }
        self.passed = None;
        let deliveries: Option<Vec<&Delivery>> = batch.iter().map(|received| received.delivery.as_ref().ok()).collect();
        let is_done = match deliveries {
            Some(deliveries) if deliveries.len() > 1 => self.apply(&deliveries).await.is_ok(),
            _ => false,
        };
        if is_done {
            self.expected = Some(last.offset + 1);
        } else {
            for received in batch {
                if self.finish_one(received).await == End::Moved {
                    return End::Moved;
                }
                self.expected = Some(received.offset + 1);
            }
        }
        // What is stored here is told to Kafka now and then; fails only when the partition was taken away, and then it is another's to tell.
        let _ = self.client.store_offset(&last.topic, last.partition, last.offset);
        End::Done
    }

    /// Passes over messages that are not wanted.
    async fn pass(&mut self, count: usize, next: i64) -> End {
        metrics::counter!(MESSAGES, "topic" => self.place.0.clone(), "outcome" => "passed").increment(count as u64);
        let since = self.passed.map_or_else(Instant::now, |passed| passed.since);
        self.passed = Some(Passed { next, since });
        if since.elapsed() < NOTE_EVERY { End::Done } else { self.note().await }
    }

    /// Notes what was passed over.
    async fn note(&mut self) -> End {
        let Some(Passed { next, .. }) = self.passed.take() else { return End::Done };
        let mut pauses = Pauses::default();
        loop {
            let noted = tokio::time::timeout(PATIENCE, self.sink.pass(&self.place.0, self.place.1, self.expected, next)).await;
            match noted.unwrap_or_else(|_| Err(Refusal::Later("it takes too long".to_owned()))) {
                Ok(()) => break,
                Err(Refusal::Moved) => return End::Moved,
                Err(refusal) => pauses.rest(&refusal, &self.place).await,
            }
        }
        self.expected = Some(next);
        let _ = self.client.store_offset(&self.place.0, self.place.1, next - 1);
        End::Done
    }

    async fn apply(&self, deliveries: &[&Delivery]) -> Result<(), Refusal> {
        let applied = tokio::time::timeout(PATIENCE, self.sink.apply(deliveries, self.expected)).await;
        applied.unwrap_or_else(|_| Err(Refusal::Later("it takes too long".to_owned())))?;
        for delivery in deliveries {
            count(&self.place.0, "applied");
            if let Some(age) = delivery.age() {
                metrics::histogram!("market_spine_delay_seconds").record(age.as_secs_f64());
            }
        }
        Ok(())
    }

    /// Applies a message, or puts it to the dead letters. Ends only when one of the two is done.
    async fn finish_one(&self, received: &Received) -> End {
        let delivery = match &received.delivery {
            Ok(delivery) => delivery,
            Err(malformed) => return self.bury(received, &malformed.to_string(), 1).await,
        };
        let mut pauses = Pauses::default();
        let mut failures = 0;
        loop {
            let Err(refusal) = self.apply(&[delivery]).await else { return End::Done };
            match &refusal {
                Refusal::Moved => return End::Moved,
                Refusal::Poison(cause) => return self.bury(received, cause, failures + 1).await,
                Refusal::Failed(cause) => {
                    failures += 1;
                    if failures >= ATTEMPTS {
                        return self.bury(received, cause, failures).await;
                    }
                }
                Refusal::Later(_) => {}
            }
            count(&self.place.0, "retried");
            pauses.rest(&refusal, &self.place).await;
        }
    }

    async fn bury(&self, received: &Received, cause: &str, attempts: u32) -> End {
        let Received { topic, partition, offset, .. } = received;
        tracing::error!(cause, topic, partition, offset, attempts, group = self.letters.group, "message goes to the dead letters");
        count(topic, "dead_letter");
        self.letters.send(received, cause, attempts).await;
        let mut pauses = Pauses::default();
        loop {
            match self.sink.bury(received, cause, self.expected).await {
                Ok(()) => return End::Done,
                Err(Refusal::Moved) => return End::Moved,
                Err(refusal) => pauses.rest(&refusal, &self.place).await,
            }
        }
    }
}

/// How the work on a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Applied, or among the dead letters.
    Done,
    /// Not at all: the lane goes on elsewhere.
    Moved,
}

/// Pauses that grow, each with jitter, so that those who wait for the same thing do not come back all at once.
struct Pauses {
    next: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: FIRST_PAUSE }
    }
}

impl Pauses {
    async fn rest(&mut self, why: &Refusal, place: &Place) {
        tracing::warn!(cause = %why, topic = place.0, partition = place.1, "will be tried again");
        tokio::time::sleep(self.next.mul_f64(rand::random_range(0.5..1.0))).await;
        self.next = (self.next * 2).min(LAST_PAUSE);
    }
}

const MESSAGES: &str = "market_spine_messages_total";

fn count(topic: &str, outcome: &'static str) {
    metrics::counter!(MESSAGES, "topic" => topic.to_owned(), "outcome" => outcome).increment(1);
}

/// A rule looks at the dead letters: they have a value before the first one.
pub(super) fn register(topic: &str) {
    metrics::counter!(MESSAGES, "topic" => topic.to_owned(), "outcome" => "dead_letter").absolute(0);
}
