//! A cart as it changes, in this region or in the other.

use async_nats::Subscriber;
use futures::{Stream, stream};
use ids::SessionId;
use serde::Serialize;
use tokio::{sync::OwnedSemaphorePermit, time::Interval};
use tokio_util::sync::CancellationToken;

use super::{Live, heard, reread};
use crate::{error::Error, metrics::Follower, shop::Shop};

/// What is told of a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Basket {
    /// Another number means another cart than before.
    pub(crate) version: u64,
    /// Units in it.
    pub(crate) units: u64,
}

struct Followed {
    session: SessionId,
    messages: Option<Subscriber>,
    reread: Interval,
    shown: Option<Basket>,
    shop: Shop,
    shutdown: CancellationToken,
    _slot: OwnedSemaphorePermit,
    _counted: Follower,
}

impl Live {
    /// The cart now and after each change. Ends when the process does.
    pub(crate) async fn follow_cart(&self, session: SessionId) -> Result<impl Stream<Item = Basket> + use<>, Error> {
        let slot = self.slot()?;
        let messages = self.subscribe(format!("cart.changed.{}", session.token())).await;
        // Read here, so that a cart service that is away is an answer and not an empty stream.
        let now = self.shop.basket(&session).await?;
        let followed = Followed {
            session,
            messages,
            reread: reread(),
            shown: None,
            shop: self.shop.clone(),
            shutdown: self.shutdown.clone(),
            _slot: slot,
            _counted: Follower::new(),
        };
        Ok(stream::unfold((followed, Some(now)), |(mut followed, now)| async move {
            let basket = followed.next(now).await?;
            Some((basket, (followed, None)))
        }))
    }
}

impl Followed {
    /// `now`, or the next one that is other than the last.
    async fn next(&mut self, now: Option<Basket>) -> Option<Basket> {
        let mut read = now;
        loop {
            if read.is_some() && read != self.shown {
                self.shown.clone_from(&read);
                return read;
            }
            // What the message says is not looked at: it may come from the other region, whose cart has another version.
            tokio::select! {
                () = self.shutdown.cancelled() => return None,
                _ = heard(self.messages.as_mut()) => {}
                _ = self.reread.tick() => {}
            }
            read = self.shop.basket(&self.session).await.ok();
        }
    }
}
