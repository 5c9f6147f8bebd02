//! What the payment service does when orders are checked out by events alone: it hears that units are held, and takes the money.
//!
//! What is heard becomes a payment that is to be captured, in the transaction that notes the event. The provider is asked after the commit;
//! whatever a crash leaves open then is in the row, where the sweeper finds it.

use std::sync::Arc;

use async_trait::async_trait;
use ids::OrderId;
use prost::Message as _;
use proto::events::inventory::v1::AwaitsPayment;
use spine::{Applied, Delivery, Handler, Refusal};
use sqlx::PgConnection;
use tokio::sync::Semaphore;

use crate::{
    api::{self, Follower},
    domain::{Command, Intent, State, Terms},
    error::Error,
    store,
};

/// Name of this consumer in the inbox, and of its group.
pub(crate) const GROUP: &str = "payment-choreography";
/// Payments under way at the provider at once.
const CONCURRENT: usize = 16;

/// Takes the money for what is held.
pub(crate) struct Held {
    follower: Follower,
    turns: Arc<Semaphore>,
}

impl Held {
    pub(crate) fn new(follower: Follower) -> Self {
        Self { follower, turns: Arc::new(Semaphore::new(CONCURRENT)) }
    }
}

#[async_trait]
impl Handler for Held {
    fn wants(&self, kind: &str) -> bool {
        kind == "inventory.awaits_payment"
    }

    async fn apply_in(&self, tx: &mut PgConnection, delivery: &Delivery) -> Result<Applied, Refusal> {
        let held = AwaitsPayment::decode(delivery.payload.as_ref()).map_err(poison)?;
        let id = api::order_id(&held.order_id).map_err(poison)?;
        let terms = api::terms(held.total.as_ref(), held.payment_token).map_err(poison)?;
        store::open_wanted_in(tx, id, &terms).await.map_err(|error| match error {
            Error::Database(error) => error.into(),
            error => Refusal::Failed(error.to_string()),
        })?;
        let (follower, turns) = (self.follower.clone(), self.turns.clone());
        Ok(Applied::then(move || {
            drop(tokio::spawn(async move {
                let _turn = turns.acquire_owned().await;
                if let Err(error) = charge(&follower, id, terms).await {
                    tracing::warn!(%error, order.id = %id, "not charged now; the sweeper goes on with it");
                }
            }));
        }))
    }
}

fn poison(error: impl std::fmt::Display) -> Refusal {
    Refusal::Poison(error.to_string())
}

async fn charge(follower: &Follower, id: OrderId, terms: Terms) -> Result<(), Error> {
    let payment = follower.follow(id, None, Command::Authorize(terms), Intent::Authorization).await?;
    if payment.state == State::Authorized {
        follower.follow(id, None, Command::Capture, Intent::Capture).await?;
    }
    Ok(())
}
