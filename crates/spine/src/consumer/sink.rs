//! Where messages go: a service's database, exactly once, or somewhere outside, at least once.

use std::collections::HashSet;

use async_trait::async_trait;
use sqlx::{PgConnection, PgPool};
use store::{consumers, inbox};
use tracing::Instrument as _;

use super::lane::Refusal;
use crate::{
    Delivery,
    delivery::{Again, Received},
};

/// Most messages of one transaction.
const BATCH: usize = 100;
const BEHIND: &str = "an earlier message of its key is among the dead letters";

/// What is left to do when the effect of a message has been committed.
#[derive(Default)]
pub struct Applied(Option<Box<dyn FnOnce() + Send>>);

impl Applied {
    /// To be done after the commit, e.g. counting.
    #[must_use]
    pub fn then(work: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(work)))
    }
}

/// Applies messages to a service's database.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Whether messages of this kind are of interest. Others are passed over without a trace.
    fn wants(&self, kind: &str) -> bool;

    /// Most messages of one transaction. One, where each takes locks that others want too: in one order within a message is in no order within
    /// a batch, and then two lanes can wait for each other.
    fn most(&self) -> usize {
        BATCH
    }

    /// Applies a message that was not applied before. Its effect commits with the note that it was.
    async fn apply_in(&self, tx: &mut PgConnection, delivery: &Delivery) -> Result<Applied, Refusal>;

    /// Applies messages that came together: one after the other, unless a handler knows a way to do so at once.
    async fn apply_all_in(&self, tx: &mut PgConnection, deliveries: &[&Delivery]) -> Result<Vec<Applied>, Refusal> {
        let mut applied = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            applied.push(self.apply_in(tx, delivery).instrument(span(delivery)).await?);
        }
        Ok(applied)
    }
}

/// Hears messages and does something outside any database of ours. May hear one twice.
#[async_trait]
pub trait Listener: Send + Sync + 'static {
    /// Hears one message.
    async fn hear(&self, delivery: &Delivery) -> Result<(), Refusal>;
}

/// Takes batches of one partition.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// The offset that is wanted next, if this place remembers it.
    async fn next_offset(&self, topic: &str, partition: i32) -> Result<Option<i64>, Refusal>;

    /// Whether a message is of interest. A batch of which none is comes by [`Sink::pass`].
    fn wants(&self, delivery: &Delivery) -> bool;

    /// Most messages that are brought here at once.
    fn most(&self) -> usize {
        BATCH
    }

    /// Notes that everything below `next` is done: [`Refusal::Moved`] when this place no longer wants the offset `expected`.
    async fn pass(&self, topic: &str, partition: i32, expected: Option<i64>, next: i64) -> Result<(), Refusal>;

    /// Applies messages that follow one another, all or none: [`Refusal::Moved`] when this place no longer wants the offset `expected`.
    async fn apply(&self, deliveries: &[&Delivery], expected: Option<i64>) -> Result<(), Refusal>;

    /// Notes that a message is among the dead letters.
    async fn bury(&self, received: &Received, cause: &str, expected: Option<i64>) -> Result<(), Refusal>;
}

/// Effects, inbox rows and the offset commit together: each message is applied exactly once.
#[derive(Debug)]
pub struct InDatabase<H> {
    /// The service's database.
    pub pool: PgPool,
    /// Name of the consumer in the inbox: that of its group.
    pub consumer: &'static str,
    /// What to do with a message.
    pub handler: H,
}

#[async_trait]
impl<H: Handler> Sink for InDatabase<H> {
    async fn next_offset(&self, topic: &str, partition: i32) -> Result<Option<i64>, Refusal> {
        Ok(consumers::next_offset(&mut *self.pool.acquire().await?, self.consumer, topic, partition).await?)
    }

    fn wants(&self, delivery: &Delivery) -> bool {
        delivery.again.as_ref().is_none_or(|again| again.consumer == self.consumer) && self.handler.wants(&delivery.kind)
    }

    fn most(&self) -> usize {
        self.handler.most()
    }

    async fn pass(&self, topic: &str, partition: i32, expected: Option<i64>, next: i64) -> Result<(), Refusal> {
        let mut connection = self.pool.acquire().await?;
        let has_moved = consumers::advance_in(&mut connection, self.consumer, (topic, partition), expected, next).await?;
        if has_moved { Ok(()) } else { Err(Refusal::Moved) }
    }

    async fn apply(&self, deliveries: &[&Delivery], expected: Option<i64>) -> Result<(), Refusal> {
        let Some(last) = deliveries.last() else { return Ok(()) };
        let wanted: Vec<&Delivery> = deliveries.iter().copied().filter(|delivery| self.wants(delivery)).collect();
        let mut tx = self.pool.begin().await?;
        self.advance_in(&mut tx, (&last.topic, last.partition), expected, last.offset).await?;
        let mut after = Vec::new();
        if !wanted.is_empty() {
            let keys: Vec<&str> = wanted.iter().map(|delivery| delivery.key.as_str()).collect();
            let dead = consumers::dead_among(&mut tx, self.consumer, &last.topic, &keys).await?;
            let ids: Vec<_> = wanted.iter().map(|delivery| delivery.event_id).collect();
            let new = inbox::note_in(&mut tx, self.consumer, &ids).await?;
            let mut seen = HashSet::new();
            let mut is_new = |delivery: &Delivery| new.contains(&delivery.event_id) && seen.insert(delivery.event_id);
            if dead.is_empty() && wanted.iter().all(|delivery| delivery.again.is_none()) {
                let new: Vec<&Delivery> = wanted.into_iter().filter(|delivery| is_new(delivery)).collect();
                after = self.handler.apply_all_in(&mut tx, &new).await?;
            } else {
                for delivery in wanted {
                    let is_new = is_new(delivery);
                    after.push(self.apply_one_in(&mut tx, delivery, is_new, dead.contains(&delivery.key)).await?);
                }
            }
        }
        tx.commit().await?;
        after.into_iter().filter_map(|applied| applied.0).for_each(|work| work());
        Ok(())
    }

    async fn bury(&self, received: &Received, cause: &str, expected: Option<i64>) -> Result<(), Refusal> {
        let mut tx = self.pool.begin().await?;
        if let Ok(delivery) = &received.delivery {
            consumers::bury_in(&mut tx, self.consumer, &delivery.topic, &delivery.key, delivery.event_id, cause).await?;
        }
        self.advance_in(&mut tx, (&received.topic, received.partition), expected, received.offset).await?;
        Ok(tx.commit().await?)
    }
}

impl<H: Handler> InDatabase<H> {
    async fn advance_in(&self, tx: &mut PgConnection, place: (&str, i32), expected: Option<i64>, done: i64) -> Result<(), Refusal> {
        let has_moved = consumers::advance_in(tx, self.consumer, place, expected, done + 1).await?;
        if has_moved { Ok(()) } else { Err(Refusal::Moved) }
    }

    async fn apply_one_in(&self, tx: &mut PgConnection, delivery: &Delivery, is_new: bool, is_dead: bool) -> Result<Applied, Refusal> {
        let Some(Again { is_dropped, .. }) = &delivery.again else {
            if !is_new {
                return Ok(Applied::default());
            }
            if is_dead {
                return self.behind_in(tx, delivery).await;
            }
            return self.handle_in(tx, delivery).await;
        };
        if !is_dropped && consumers::is_behind(&mut *tx, self.consumer, delivery.event_id).await? {
            return Err(Refusal::Poison(BEHIND.to_owned()));
        }
        consumers::unbury_in(&mut *tx, self.consumer, delivery.event_id).await?;
        if is_new && !is_dropped { self.handle_in(tx, delivery).await } else { Ok(Applied::default()) }
    }

    /// A message whose key has dead letters: it follows them, unless it is one of them, delivered once more.
    async fn behind_in(&self, tx: &mut PgConnection, delivery: &Delivery) -> Result<Applied, Refusal> {
        if consumers::is_buried(tx, self.consumer, delivery.event_id).await? {
            // The inbox must not say that it was applied.
            inbox::unnote_in(tx, self.consumer, delivery.event_id).await?;
            return Ok(Applied::default());
        }
        Err(Refusal::Poison(BEHIND.to_owned()))
    }

    async fn handle_in(&self, tx: &mut PgConnection, delivery: &Delivery) -> Result<Applied, Refusal> {
        self.handler.apply_in(tx, delivery).instrument(span(delivery)).await
    }
}

/// Each message is heard at least once.
#[derive(Debug)]
pub struct Outside<L>(pub L);

#[async_trait]
impl<L: Listener> Sink for Outside<L> {
    async fn next_offset(&self, _: &str, _: i32) -> Result<Option<i64>, Refusal> {
        Ok(None)
    }

    fn wants(&self, _: &Delivery) -> bool {
        true
    }

    async fn pass(&self, _: &str, _: i32, _: Option<i64>, _: i64) -> Result<(), Refusal> {
        Ok(())
    }

    async fn apply(&self, deliveries: &[&Delivery], _: Option<i64>) -> Result<(), Refusal> {
        for delivery in deliveries {
            self.0.hear(delivery).instrument(span(delivery)).await?;
        }
        Ok(())
    }

    async fn bury(&self, _: &Received, _: &str, _: Option<i64>) -> Result<(), Refusal> {
        Ok(())
    }
}

fn span(delivery: &Delivery) -> tracing::Span {
    let span = tracing::info_span!("consume", otel.name = %format!("{} process", delivery.topic), otel.kind = "consumer", event.id = %delivery.event_id);
    telemetry::continue_trace(&span, delivery.traceparent.as_deref());
    span
}
