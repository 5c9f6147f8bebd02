//! An order's states, and a cart, as they change.
//!
//! NATS tells of a change at once and may lose it, so what is followed is also read now and then. The subscription comes before the first
//! read: a change falls into one or the other.

mod cart;

use std::{sync::Arc, time::Duration};

use async_nats::Subscriber;
use axum::body::Bytes;
use futures::{Stream, StreamExt as _, stream};
use ids::OrderId;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Interval, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::cart::Basket;
use crate::{
    error::Error,
    metrics::Follower,
    shop::Shop,
    view::{Order, Requested, State},
};

/// Most orders and carts followed at a time.
const STREAMS: usize = 2000;
/// Longest wait for NATS.
const PATIENCE: Duration = Duration::from_millis(200);
/// Time between two readings.
const REREAD: Duration = Duration::from_secs(2);

/// Where an order stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) order_id: String,
    pub(crate) state: State,
    /// Known only of an order that was read; the order service's messages tell of states.
    #[serde(default)]
    pub(crate) requested: Option<Requested>,
    pub(crate) version: u64,
}

impl Status {
    /// Whether nothing comes any more.
    pub(crate) fn is_over(&self) -> bool {
        self.state.is_final() && self.requested.is_none()
    }
}

impl From<Order> for Status {
    fn from(order: Order) -> Self {
        Self { order_id: order.order_id, state: order.state, requested: order.requested, version: order.version }
    }
}

/// Follows orders and carts. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    nats: async_nats::Client,
    shop: Shop,
    slots: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Live {
    pub(crate) fn new(nats: async_nats::Client, shop: Shop, shutdown: CancellationToken) -> Self {
        Self { nats, shop, slots: Arc::new(Semaphore::new(STREAMS)), shutdown }
    }

    /// The order's state now and each later one. Ends after a final state, or when the process ends. A shipped order that is being returned is
    /// followed until it is.
    pub(crate) async fn follow(&self, id: OrderId) -> Result<impl Stream<Item = Status> + use<>, Error> {
        let slot = self.slot()?;
        let messages = self.subscribe(format!("order.status.{id}")).await;
        let now = Status::from(self.shop.order(id).await?);
        let followed = Followed {
            id,
            messages,
            reread: reread(),
            seen: Seen::default(),
            first: Some(now),
            shop: self.shop.clone(),
            shutdown: self.shutdown.clone(),
            _slot: slot,
            _counted: Follower::new(),
        };
        Ok(stream::unfold(followed, |mut followed| async move { Some((followed.next().await?, followed)) }))
    }

    fn slot(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.slots.clone().try_acquire_owned().map_err(|_| Error::TooManyStreams)
    }

    async fn subscribe(&self, subject: String) -> Option<Subscriber> {
        // While NATS is away its client takes requests only until its queue is full.
        let messages = tokio::time::timeout(PATIENCE, self.nats.subscribe(subject)).await.ok().and_then(Result::ok);
        if messages.is_none() {
            tracing::debug!("following by reading alone");
        }
        messages
    }
}

/// When to read what is followed.
fn reread() -> Interval {
    let mut reread = tokio::time::interval_at(tokio::time::Instant::now() + REREAD, REREAD);
    reread.set_missed_tick_behavior(MissedTickBehavior::Delay);
    reread
}

/// What the follower has been told.
#[derive(Debug, Default)]
struct Seen {
    version: u64,
    is_over: bool,
}

impl Seen {
    /// Whether `status` is news. Old and repeated tidings are not.
    fn is_news(&mut self, status: &Status) -> bool {
        let is_news = !self.is_over && status.version > self.version;
        if is_news {
            (self.version, self.is_over) = (status.version, status.is_over());
        }
        is_news
    }
}

struct Followed {
    id: OrderId,
    messages: Option<Subscriber>,
    reread: Interval,
    seen: Seen,
    first: Option<Status>,
    shop: Shop,
    shutdown: CancellationToken,
    _slot: OwnedSemaphorePermit,
    _counted: Follower,
}

impl Followed {
    async fn next(&mut self) -> Option<Status> {
        while !self.seen.is_over {
            let status = match self.first.take() {
                Some(first) => Some(first),
                None => tokio::select! {
                    () = self.shutdown.cancelled() => return None,
                    status = told(self.messages.as_mut()) => status,
                    _ = self.reread.tick() => self.shop.order(self.id).await.ok().map(Status::from),
                },
            };
            if let Some(status) = status.filter(|status| self.seen.is_news(status)) {
                return Some(status);
            }
        }
        None
    }
}

/// The next status, if it can be read.
async fn told(messages: Option<&mut Subscriber>) -> Option<Status> {
    let payload = heard(messages).await;
    serde_json::from_slice(&payload).inspect_err(|error| tracing::warn!(%error, "status cannot be read")).ok()
}

/// The next message. A subscription that has ended says nothing more.
async fn heard(messages: Option<&mut Subscriber>) -> Bytes {
    let message = match messages {
        Some(messages) => messages.next().await,
        None => None,
    };
    match message {
        Some(message) => message.payload,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: State, version: u64) -> Status {
        Status { order_id: "o".to_owned(), state, requested: None, version }
    }

    #[test]
    fn each_state_is_told_once_and_in_order() {
        let mut seen = Seen::default();
        assert!(seen.is_news(&status(State::Placed, 1)));
        assert!(!seen.is_news(&status(State::Placed, 1)), "a repeat");
        assert!(seen.is_news(&status(State::Shipped, 3)), "a step may be missed");
        assert!(!seen.is_news(&status(State::Confirmed, 2)), "too late");
        assert!(!seen.is_news(&status(State::Cancelled, 9)), "nothing comes after a final state");
    }

    #[test]
    fn a_shipped_order_that_goes_back_is_followed() {
        let mut seen = Seen::default();
        assert!(seen.is_news(&Status { requested: Some(Requested::Return), ..status(State::Shipped, 3) }));
        assert!(seen.is_news(&status(State::Returned, 4)));
        assert!(!seen.is_news(&status(State::Returned, 5)));
    }

    #[test]
    fn the_order_services_message_is_read() {
        let read: Status = serde_json::from_str(r#"{"order_id":"o","state":"confirmed","version":2}"#).unwrap();
        assert_eq!(read, status(State::Confirmed, 2));
        assert!(serde_json::from_str::<Status>(r#"{"state":"lost"}"#).is_err());
    }
}
