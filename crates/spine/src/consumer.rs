//! Consumes topics.
//!
//! ```text
//!           ┌─ lane of partition 0: batch ── one transaction: offset, inbox rows, effects ──> next batch
//!  Kafka ───┼─ lane of partition 1: ..            │ refused: message by message, with pauses; then to <topic>.dlq
//!           └─ lane of partition 2: ..            └ too far behind: its partition is paused until it has caught up
//! ```
//! Lanes are independent: one that waits holds up no other. Within a lane nothing overtakes.

mod lane;
mod letters;
mod sink;

use std::{collections::HashMap, ops::Deref, sync::Arc, thread, time::Duration};

use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance, StreamConsumer},
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

pub(crate) use self::letters::header;
pub use self::{
    lane::Refusal,
    sink::{Applied, Handler, InDatabase, Listener, Outside, Sink},
};
use self::{
    lane::{Lane, Signal},
    letters::Letters,
};
use crate::{Error, client, delivery::Received};

/// Between two errors of the client, so that a burst of them does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// How soon a consumer hears of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// At once: somebody waits for what it does. Each message may cost a request to the broker and a transaction.
    Prompt,
    /// Within a quarter of a second, together with what else has come by then.
    Gathering,
}

/// A member of a consumer group.
#[derive(Debug)]
pub struct Consumer<S> {
    /// Kafka's address.
    pub bootstrap: String,
    /// Name of the group, the service's own, and of this consumer in the inbox.
    pub group: &'static str,
    /// What to hear.
    pub topics: &'static [&'static str],
    /// How soon.
    pub pace: Pace,
    /// What to do with it.
    pub sink: S,
}

/// A partition of a topic.
type Place = (String, i32);

/// Tells which partitions were taken away.
struct Rebalances(UnboundedSender<Vec<Place>>);

impl ClientContext for Rebalances {}

impl ConsumerContext for Rebalances {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            let places = partitions.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect();
            let _ = self.0.send(places);
        }
    }
}

/// Kafka's client. Closing it asks the group's coordinator, which may not answer for long: a thread of its own waits for that.
struct Client(Option<StreamConsumer<Rebalances>>);

impl Deref for Client {
    type Target = StreamConsumer<Rebalances>;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let client = self.0.take();
        // Where no thread can be had, it is closed here.
        let _ = thread::Builder::new().name("kafka close".to_owned()).spawn(move || drop(client));
    }
}

impl<S: Sink> Consumer<S> {
    /// Consumes beside the service.
    pub fn start(self, process: &rpc::Process, name: &'static str) {
        // The same after a restart, another for each replica.
        let member = format!("{}-{}", self.group, process.instance());
        let shutdown = process.shutdown.clone();
        process.spawn(name, async move { Ok(self.run(&member, shutdown).await?) });
    }

    /// Consumes as `member` of the group until `shutdown`.
    ///
    /// # Errors
    /// When the client cannot be built, or another member took this one's name. Kafka being away only delays it.
    pub async fn run(self, member: &str, shutdown: CancellationToken) -> Result<(), Error> {
        let (revoked, rebalances) = unbounded_channel();
        let config = client::consumer(&self.bootstrap, self.group, member, self.pace);
        let client = Client(Some(config.create_with_context(Rebalances(revoked))?));
        client.subscribe(self.topics)?;
        self.topics.iter().for_each(|topic| lane::register(topic));
        let (signal, signals) = unbounded_channel();
        let dispatch = Dispatch {
            client: Arc::new(client),
            sink: Arc::new(self.sink),
            letters: Arc::new(Letters::new(self.bootstrap, self.group)),
            lanes: HashMap::new(),
            signal,
        };
        shutdown.run_until_cancelled(dispatch.run(signals, rebalances)).await.unwrap_or(Ok(()))
    }
}

/// Deals messages out to the lanes.
struct Dispatch<S> {
    client: Arc<Client>,
    sink: Arc<S>,
    letters: Arc<Letters>,
    lanes: HashMap<Place, Lane>,
    signal: UnboundedSender<(Place, Signal)>,
}

impl<S: Sink> Dispatch<S> {
    async fn run(
        mut self,
        mut signals: UnboundedReceiver<(Place, Signal)>,
        mut rebalances: UnboundedReceiver<Vec<Place>>,
    ) -> Result<(), Error> {
        let client = self.client.clone();
        let mut is_away = false;
        loop {
            tokio::select! {
                biased;
                Some(places) = rebalances.recv() => places.iter().for_each(|place| drop(self.lanes.remove(place))),
                Some((place, signal)) = signals.recv() => self.heed(&place, signal)?,
                received = client.recv() => match received {
                    Ok(message) => {
                        is_away = false;
                        self.deal(Received::from(&message))?;
                    }
                    Err(error) => {
                        if let Some((code, reason)) = client.client().fatal_error() {
                            return Err(Error::Fatal(format!("{code}: {reason}")));
                        }
                        // The client tells of each attempt to connect; once is enough to read, and waiting for each would take long.
                        if !std::mem::replace(&mut is_away, true) {
                            tracing::warn!(%error, group = self.letters.group, "kafka is away, the consumer will go on when it is back");
                        }
                        tokio::time::sleep(ERROR_PAUSE).await;
                    }
                },
            }
        }
    }

    fn deal(&mut self, received: Received) -> Result<(), Error> {
        let place = (received.topic.clone(), received.partition);
        let lane = self.lanes.entry(place.clone()).or_insert_with(|| {
            Lane::open(place.clone(), self.client.clone(), self.sink.clone(), self.letters.clone(), self.signal.clone())
        });
        if lane.put(received) {
            self.client.pause(&only(&place)?)?;
        }
        Ok(())
    }

    fn heed(&mut self, place: &Place, signal: Signal) -> Result<(), Error> {
        // A lane that was taken away in the meantime has nothing to say.
        let Some(lane) = self.lanes.get(place) else { return Ok(()) };
        match signal {
            Signal::HasRoom => self.client.resume(&only(place)?)?,
            Signal::Wants(offset) => {
                tracing::warn!(
                    topic = place.0,
                    partition = place.1,
                    offset,
                    group = self.letters.group,
                    "kafka's offset is ahead of the database's: reading again"
                );
                lane.forget();
                self.client.seek(&place.0, place.1, Offset::Offset(offset), Duration::ZERO)?;
            }
        }
        Ok(())
    }
}

fn only((topic, partition): &Place) -> Result<TopicPartitionList, Error> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(topic, *partition);
    Ok(list)
}
