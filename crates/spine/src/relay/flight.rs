//! What was handed to Kafka's client and not acknowledged yet, in order.

use std::collections::VecDeque;

use cdc::Lsn;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryFuture, FutureProducer, FutureRecord},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Outbox, event::Envelope, in_time};
use crate::Error;

/// Most events under way; the stream is not read while there are as many, and the WAL waits in the database.
const MOST: usize = 10_000;
/// Most bytes of payload under way.
const MOST_BYTES: usize = 32 * 1024 * 1024;

enum Item {
    /// An event.
    Event { event_id: Uuid, topic: String, key: String, bytes: usize, committed_at: OffsetDateTime, delivery: DeliveryFuture },
    /// The end of a transaction: once all before it has landed, this position is confirmed.
    Mark { lsn: Lsn, at: OffsetDateTime },
}

/// An event that Kafka will never take.
struct Refused {
    event_id: Uuid,
    topic: String,
    key: String,
    error: KafkaError,
}

/// Events under way.
pub(super) struct Flight<'a> {
    outbox: &'a Outbox,
    producer: &'a FutureProducer,
    items: VecDeque<Item>,
    bytes: usize,
    refused: Vec<Refused>,
    /// All that was committed up to here has landed.
    pub(super) confirmed_at: OffsetDateTime,
    /// Something has, since the owner last looked.
    pub(super) has_landed: bool,
}

impl<'a> Flight<'a> {
    pub(super) fn new(outbox: &'a Outbox, producer: &'a FutureProducer) -> Self {
        let (items, refused) = (VecDeque::new(), Vec::new());
        Self { outbox, producer, items, bytes: 0, refused, confirmed_at: OffsetDateTime::UNIX_EPOCH, has_landed: false }
    }

    pub(super) fn is_under_way(&self) -> bool {
        !self.items.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.items.len() < MOST && self.bytes < MOST_BYTES
    }

    /// Hands `event` to the client. On one idempotent producer the order holds within each partition, also through its own retries.
    pub(super) fn send(&mut self, event: Envelope) -> Result<(), Error> {
        let headers = event.headers(&self.outbox.source);
        let record = FutureRecord::to(&event.topic).key(&event.key).payload(&*event.payload).headers(headers);
        let sent = self.producer.send_result(record).map_err(|(error, _)| error);
        let Envelope { event_id, topic, key, payload, committed_at, .. } = event;
        match sent {
            Ok(delivery) => {
                self.bytes += payload.len();
                self.items.push_back(Item::Event { event_id, topic, key, bytes: payload.len(), committed_at, delivery });
            }
            Err(error) if is_hopeless(&error) => self.refused.push(Refused { event_id, topic, key, error }),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// All sent so far was one transaction, or several.
    pub(super) fn mark(&mut self, lsn: Lsn, at: OffsetDateTime) {
        self.items.push_back(Item::Mark { lsn, at });
    }

    /// Waits until the oldest has landed; the position that may be confirmed then, if it was a mark. Safe to cancel.
    pub(super) async fn land(&mut self) -> Result<Option<Lsn>, Error> {
        let landed = match self.items.front_mut() {
            Some(Item::Event { delivery, .. }) => Some(delivery.await),
            Some(Item::Mark { .. }) | None => None,
        };
        match (self.items.pop_front(), landed) {
            (Some(Item::Mark { lsn, at }), _) => {
                (self.confirmed_at, self.has_landed) = (at, true);
                return Ok(Some(lsn));
            }
            (Some(Item::Event { event_id, topic, key, bytes, committed_at, .. }), Some(landed)) => {
                self.bytes -= bytes;
                match landed {
                    Ok(Ok(_)) => {
                        let seconds = (OffsetDateTime::now_utc() - committed_at).as_seconds_f64().max(0.0);
                        metrics::histogram!("market_outbox_publish_seconds").record(seconds);
                        metrics::counter!("market_outbox_events_total").increment(1);
                    }
                    Ok(Err((error, _))) if is_hopeless(&error) => self.refused.push(Refused { event_id, topic, key, error }),
                    Ok(Err((error, _))) => return Err(error.into()),
                    Err(_) => return Err(Error::Fatal("it was dropped".to_owned())),
                }
            }
            _ => {}
        }
        Ok(None)
    }

    /// Sets aside what Kafka will never take, so that it holds up nothing else. To be awaited before the next position is confirmed.
    pub(super) async fn set_aside(&mut self) -> Result<(), Error> {
        for Refused { event_id, topic, key, error } in std::mem::take(&mut self.refused) {
            tracing::error!(%error, event.id = %event_id, topic, key, "kafka will never take this event, it is set aside");
            metrics::counter!("market_outbox_refused_total").increment(1);
            let cause = error.to_string();
            in_time(async { Ok(store::outbox::refuse(&self.outbox.pool, event_id, &topic, &key, &cause).await?) }).await?;
        }
        Ok(())
    }

    /// How long the oldest event has waited.
    pub(super) fn tell_lag(&self) {
        let oldest = self.items.iter().find_map(|item| match item {
            Item::Event { committed_at, .. } => Some(*committed_at),
            Item::Mark { .. } => None,
        });
        let lag = oldest.map_or(0.0, |oldest| (OffsetDateTime::now_utc() - oldest).as_seconds_f64().max(0.0));
        metrics::gauge!("market_outbox_lag_seconds").set(lag);
        if lag > 10.0 {
            tracing::warn!(seconds = lag, events = self.items.len(), "kafka does not take events; they wait in the database");
        }
    }
}

/// Kafka will not take this message at any later time either.
fn is_hopeless(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessage | RDKafkaErrorCode::InvalidMessageSize))
}
