//! What search hears: items. Each message is applied once, because its offset commits with its document.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prost::Message as _;
use proto::events::inventory::v1::ItemChanged;
use spine::{Delivery, Tail};
use tokio::{
    task::block_in_place,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    error::Error,
    index::{Document, Writer},
    metrics,
};

/// A commit comes when nothing has come for this long ..
const IDLE: Duration = Duration::from_millis(100);
/// .. or the oldest change has waited this long ..
const OLDEST: Duration = Duration::from_secs(1);
/// .. or this many messages wait for it.
const BATCH: usize = 1000;
const RETRY: Duration = Duration::from_millis(500);
/// Each attempt of the client to connect queues an error before the next message, so a longer pause would still last when Kafka is back.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// Feeds the topic to the index.
pub(crate) struct Feed {
    pub(crate) bootstrap: String,
    pub(crate) writer: Writer,
    /// Set once everything that was in the topic can be found.
    pub(crate) caught_up: Arc<AtomicBool>,
}

impl Feed {
    /// Feeds until `shutdown`. Kafka being away only delays it.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), Error> {
        shutdown.run_until_cancelled(self.follow()).await.unwrap_or(Ok(()))?;
        block_in_place(|| self.writer.commit())
    }

    async fn follow(&mut self) -> Result<(), Error> {
        loop {
            let tail = Tail::open(self.bootstrap.clone(), spine::topics::INVENTORY_ITEM, self.writer.next_offsets().clone()).await;
            match tail {
                Ok(mut tail) => self.apply_all(&mut tail).await?,
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "item feed will try again");
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Applies message after message; returns when the topic turns out to be another one, after the index was emptied.
    async fn apply_all(&mut self, tail: &mut Tail) -> Result<(), Error> {
        let mut oldest = Instant::now();
        let mut is_failing = false;
        loop {
            if self.writer.pending() == 0 {
                if tail.is_caught_up() && !self.caught_up.swap(true, Ordering::AcqRel) {
                    tracing::info!("the index has caught up with the catalog");
                }
                oldest = Instant::now();
            }
            let waiting = self.writer.pending() > 0;
            let next = if waiting { timeout(IDLE, tail.next()).await } else { Ok(tail.next().await) };
            let is_idle = next.is_err();
            match next {
                Ok(Ok(Some(delivery))) => {
                    is_failing = false;
                    if self.writer.next_offsets().get(&delivery.partition).is_some_and(|next| delivery.offset < *next) {
                        tracing::warn!(partition = delivery.partition, "the topic was made anew, so the index is built again");
                        metrics::count_rebuild();
                        self.caught_up.store(false, Ordering::Release);
                        return block_in_place(|| self.writer.clear());
                    }
                    self.apply(&delivery)?;
                }
                Ok(Ok(None)) => metrics::count_skipped(),
                Ok(Err(error)) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::warn!(%error, cause, "item feed is cut off and goes on when kafka is back");
                    }
                    sleep(ERROR_PAUSE).await;
                }
                Err(_) => {}
            }
            if is_idle || self.writer.pending() >= BATCH || oldest.elapsed() >= OLDEST {
                block_in_place(|| self.writer.commit())?;
            }
        }
    }

    fn apply(&mut self, delivery: &Delivery) -> Result<(), Error> {
        if delivery.payload.is_empty() {
            // A tombstone of the compacted topic: the item is gone.
            self.writer.remove(&delivery.key);
        } else {
            match ItemChanged::decode(delivery.payload.clone())
                .ok()
                .and_then(|changed| changed.item)
                .filter(|item| item.sku == delivery.key)
            {
                Some(item) => {
                    let document =
                        Document { sku: &item.sku, title: &item.title, description: &item.description, category: &item.category };
                    self.writer.put(&document)?;
                }
                None => {
                    tracing::warn!(key = delivery.key, partition = delivery.partition, offset = delivery.offset, "item event skipped");
                    metrics::count_skipped();
                }
            }
        }
        self.writer.pass(delivery.partition, delivery.offset);
        Ok(())
    }
}
