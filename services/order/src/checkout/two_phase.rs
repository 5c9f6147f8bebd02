//! The coordinator of a two-phase commit across the schemas of order, payment and inventory.
//!
//! ```text
//! phase 1: payment prepares ──> inventory prepares ──> the order's row: shipped or cancelled, in one local commit. That is the decision.
//! phase 2: both are told, together and again until they have heard it.
//! ```
//! The order's own transaction commits last and alone, so its row is the log of decisions: a coordinator that died asks the participants what
//! they hold and looks there. An order that is still `placed` is undecided, and is voted on again. Payment goes first because the provider
//! takes its time, and the rows that others want, those of the stock, are locked from inventory's vote to its decision only.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use ids::OrderId;
use proto::{
    checkout::v1::{DecideRequest, ListPreparedRequest, PrepareRequest, participant_service_client::ParticipantServiceClient},
    market::v1::{Line, Region},
};
use rpc::Failure;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Command, Course, Order, Refusal, State},
    error::Error,
    saga::BY_SHOPPER,
    store,
};

/// Orders under way at once, as many as sagas.
const CONCURRENT: usize = 16;
/// How often participants are asked for what nobody has decided.
const INTERVAL: Duration = Duration::from_secs(1);

type Participant = ParticipantServiceClient<rpc::Client>;

/// Brings orders to their end. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Coordinator {
    pool: PgPool,
    /// In the order in which they vote.
    participants: [Participant; 2],
    under_way: Arc<Mutex<HashSet<OrderId>>>,
    turns: Arc<Semaphore>,
}

impl Coordinator {
    /// Of the orders of `pool`, with these participants.
    pub(crate) fn new(pool: PgPool, payment: rpc::Client, inventory: rpc::Client) -> Self {
        let participants = [payment, inventory].map(Participant::new);
        Self { pool, participants, under_way: Arc::default(), turns: Arc::new(Semaphore::new(CONCURRENT)) }
    }

    /// Decides the order in the background, unless that is under way.
    pub(crate) fn start_soon(&self, id: OrderId) {
        if !self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            let _turn = this.turns.acquire().await;
            if let Err(error) = this.drive(id).await {
                tracing::warn!(error = %error.message, reason = error.reason, order.id = %id, "not brought to its end now; it is tried again");
            }
            this.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        });
    }

    /// Looks after what is prepared and not decided, until `shutdown`.
    pub(crate) async fn recover(self, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            for mut participant in self.participants.clone() {
                match participant.list_prepared(ListPreparedRequest {}).await {
                    Ok(listed) => listed.into_inner().order_ids.iter().filter_map(|id| id.parse().ok()).for_each(|id| self.start_soon(id)),
                    Err(status) => tracing::warn!(error = %status.message(), "a participant does not say what it has prepared"),
                }
            }
        }
    }

    /// Both phases.
    async fn drive(&self, id: OrderId) -> Result<(), Failure> {
        let order = store::get(&self.pool, id).await?.order;
        let commit = match order.state {
            State::Placed => self.decide(&order).await?,
            State::Cancelled => false,
            State::Confirmed | State::Shipped | State::Returned => true,
        };
        let tell = async |mut participant: Participant| participant.decide(DecideRequest { order_id: id.to_string(), commit }).await;
        let told = join_all(self.participants.iter().cloned().map(tell)).await;
        told.into_iter().try_for_each(|told| told.map(drop)).map_err(Failure::from)
    }

    /// Asks for the votes and writes the decision: true to commit.
    async fn decide(&self, order: &Order) -> Result<bool, Failure> {
        let refusal = match self.vote(order).await? {
            Some(reason) => reason,
            None => match store::apply(&self.pool, order.id, [Command::PassPivot, Command::Confirm, Command::Ship]).await {
                Ok(()) => return Ok(true),
                Err(Error::Refused(Refusal::CancelRequested)) => BY_SHOPPER.to_owned(),
                Err(error) => return Err(error.into()),
            },
        };
        store::apply(&self.pool, order.id, [Command::Cancel { reason: refusal }]).await?;
        Ok(false)
    }

    /// The first refusal; nothing when all have prepared.
    async fn vote(&self, order: &Order) -> Result<Option<String>, Failure> {
        if order.course == Course::Cancelling {
            return Ok(Some(BY_SHOPPER.to_owned()));
        }
        let request = PrepareRequest {
            order_id: order.id.to_string(),
            lines: order.lines.iter().map(|line| Line { sku: line.sku.to_string(), quantity: line.quantity }).collect(),
            total: Some(order.total.into()),
            payment_token: order.payment_token.clone(),
            home_region: Region::from(order.home).into(),
        };
        for mut participant in self.participants.clone() {
            let refusal = participant.prepare(request.clone()).await?.into_inner().refusal;
            if !refusal.is_empty() {
                return Ok(Some(refusal));
            }
        }
        Ok(None)
    }
}
