//! What was handed to Kafka's client and not acknowledged yet, in order.

use std::{collections::VecDeque, time::Duration};

use cdc::Lsn;
use metrics::{Counter, Histogram};
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    producer::BaseRecord,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Outbox, REFUSED,
    event::{Clock, Envelope},
    in_time,
    landings::{self, Landing, Producer, Refusal},
};
use crate::Error;

/// Most events under way; the stream is not read while there are as many, and the WAL waits in the database.
const MOST: usize = 10_000;
/// Most bytes of payload under way.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// How often Kafka's answers are looked for while nothing else happens.
const LOOK: Duration = Duration::from_millis(1);

enum Item {
    /// An event.
    Event { event_id: Uuid, bytes: usize, committed_at: OffsetDateTime, state: State },
    /// The end of a transaction: once all before it has landed, this position is confirmed.
    Mark { lsn: Lsn, at: OffsetDateTime },
}

enum State {
    Flying,
    Landed,
    /// Kafka will never take it.
    Refused(Box<Refusal>),
}

/// Events under way.
pub(super) struct Flight<'a> {
    outbox: &'a Outbox,
    producer: &'a Producer,
    items: VecDeque<Item>,
    /// The number of the oldest item; those behind it count on.
    first: usize,
    bytes: usize,
    refused: Vec<(Uuid, Box<Refusal>)>,
    /// Empty between two looks, kept for its room.
    landed: Vec<Landing>,
    /// All that was committed up to here has landed.
    pub(super) confirmed_at: OffsetDateTime,
    /// Something has, since the owner last looked.
    pub(super) has_landed: bool,
    clock: Clock,
    seconds: Histogram,
    events: Counter,
}

impl<'a> Flight<'a> {
    pub(super) fn new(outbox: &'a Outbox, producer: &'a Producer) -> Self {
        Self {
            outbox,
            producer,
            items: VecDeque::new(),
            first: 0,
            bytes: 0,
            refused: Vec::new(),
            landed: Vec::new(),
            confirmed_at: OffsetDateTime::UNIX_EPOCH,
            has_landed: false,
            clock: Clock::default(),
            seconds: metrics::histogram!("market_outbox_publish_seconds"),
            events: metrics::counter!("market_outbox_events_total"),
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        !self.items.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.items.len() < MOST && self.bytes < MOST_BYTES
    }

    /// Hands `event` to the client. On one idempotent producer the order holds within each partition, also through its own retries.
    pub(super) fn send(&mut self, event: &Envelope<'_>) -> Result<(), Error> {
        let &Envelope { event_id, topic, key, payload, committed_at, .. } = event;
        let number = self.first + self.items.len();
        let headers = event.headers(&self.outbox.source, self.clock.tell(event.created_at));
        let record = BaseRecord::with_opaque_to(topic, number).key(key).payload(payload).headers(headers);
        match self.producer.send(record) {
            Ok(()) => {
                self.bytes += payload.len();
                self.items.push_back(Item::Event { event_id, bytes: payload.len(), committed_at, state: State::Flying });
            }
            Err((error, _)) if is_hopeless(&error) => {
                self.refused.push((event_id, Box::new(Refusal { error, topic: topic.to_owned(), key: key.to_owned() })));
            }
            Err((error, _)) => return Err(error.into()),
        }
        Ok(())
    }

    /// All sent so far was one transaction, or several.
    pub(super) fn mark(&mut self, lsn: Lsn, at: OffsetDateTime) {
        self.items.push_back(Item::Mark { lsn, at });
    }

    /// Waits until the oldest has landed; the last position that may be confirmed then, if there was a mark. Safe to cancel.
    pub(super) async fn land(&mut self) -> Result<Option<Lsn>, Error> {
        loop {
            let before = self.items.len();
            let lsn = self.settle();
            if self.items.len() < before {
                return Ok(lsn);
            }
            landings::take(self.producer, &mut self.landed);
            if self.landed.is_empty() {
                tokio::time::sleep(LOOK).await;
            }
            for Landing { number, refusal } in self.landed.drain(..) {
                let Some(Item::Event { state, .. }) = self.items.get_mut(number.wrapping_sub(self.first)) else {
                    return Err(Error::Fatal(format!("it answered for event {number}, which is not under way")));
                };
                *state = match refusal {
                    None => State::Landed,
                    Some(refusal) if is_hopeless(&refusal.error) => State::Refused(refusal),
                    Some(refusal) => return Err(refusal.error.into()),
                };
            }
        }
    }

    /// Takes away what has landed, from the oldest on, up to one that was refused: the caller sets it aside before anything behind it counts.
    fn settle(&mut self) -> Option<Lsn> {
        let (mut confirmed, now, mut events) = (None, OffsetDateTime::now_utc(), 0);
        while let Some(item) = self.items.pop_front_if(|item| !matches!(item, Item::Event { state: State::Flying, .. })) {
            self.first += 1;
            match item {
                Item::Mark { lsn, at } => {
                    (self.confirmed_at, self.has_landed) = (at, true);
                    confirmed = Some(lsn);
                }
                Item::Event { event_id, bytes, committed_at, state } => {
                    self.bytes -= bytes;
                    if let State::Refused(refusal) = state {
                        self.refused.push((event_id, refusal));
                        break;
                    }
                    self.seconds.record((now - committed_at).as_seconds_f64().max(0.0));
                    events += 1;
                }
            }
        }
        self.events.increment(events);
        confirmed
    }

    /// Sets aside what Kafka will never take, so that it holds up nothing else. To be awaited before the next position is confirmed.
    pub(super) async fn set_aside(&mut self) -> Result<(), Error> {
        for (event_id, refusal) in std::mem::take(&mut self.refused) {
            let Refusal { error, topic, key } = *refusal;
            tracing::error!(%error, event.id = %event_id, topic, key, "kafka will never take this event, it is set aside");
            metrics::counter!(REFUSED).increment(1);
            let cause = error.to_string();
            in_time(async { Ok(store::outbox::refuse(&self.outbox.pool, event_id, &topic, &key, &cause).await?) }).await?;
        }
        Ok(())
    }

    /// How long the oldest event has waited; `at_gate` are those that were committed then and may not go yet.
    pub(super) fn tell_lag(&self, at_gate: Option<OffsetDateTime>) {
        let oldest = self.items.iter().find_map(|item| match item {
            Item::Event { committed_at, .. } => Some(*committed_at),
            Item::Mark { .. } => None,
        });
        let lag = oldest.or(at_gate).map_or(0.0, |oldest| (OffsetDateTime::now_utc() - oldest).as_seconds_f64().max(0.0));
        metrics::gauge!("market_outbox_lag_seconds").set(lag);
        if lag > 10.0 && oldest.is_none() {
            tracing::warn!(seconds = lag, "the other region has not got what events tell of; they wait in the database");
        } else if lag > 10.0 {
            tracing::warn!(seconds = lag, events = self.items.len(), "kafka does not take events; they wait in the database");
        }
    }
}

/// Kafka will not take this message at any later time either.
fn is_hopeless(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessage | RDKafkaErrorCode::InvalidMessageSize))
}
