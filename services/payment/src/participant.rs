//! `checkout.v1.ParticipantService`: the payment of an order as a part of a two-phase commit.
//!
//! The provider cannot prepare. So the amount is held there first, outside of any transaction; what is prepared is the wish to take it, and
//! once that is committed it is carried out like any other wish that is in the row: at once, or by a workflow.

use ::store::two_phase::Prepared;
use ids::OrderId;
use proto::checkout::v1::{
    DecideRequest, DecideResponse, ListPreparedRequest, ListPreparedResponse, PrepareRequest, PrepareResponse,
    participant_service_server::ParticipantService,
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use crate::{
    api::{self, Follower},
    domain::{Command, Intent, Refusal, State, Terms, Wish},
    error::Error,
    store,
};

/// The shopper's bank asks, and prepared transactions cannot wait for a person.
const STEP_UP: &str = "PAYMENT_STEP_UP_TIMEOUT";

/// Votes on payments, and takes the amount or lets it go as decided.
pub(crate) struct Participant {
    pub(crate) follower: Follower,
    pub(crate) pool: PgPool,
    pub(crate) prepared: Prepared,
}

#[tonic::async_trait]
impl ParticipantService for Participant {
    async fn prepare(&self, request: Request<PrepareRequest>) -> Result<Response<PrepareResponse>, Status> {
        let PrepareRequest { order_id, total, payment_token, .. } = request.into_inner();
        let (id, terms) = (api::order_id(&order_id)?, api::terms(total.as_ref(), payment_token)?);
        let refusal = match self.vote(id, terms).await {
            Ok(refusal) => refusal.unwrap_or_default().to_owned(),
            Err(error @ Error::Refused(_)) => error.reason().to_owned(),
            Err(error) => return Err(error.into()),
        };
        Ok(Response::new(PrepareResponse { refusal }))
    }

    async fn decide(&self, request: Request<DecideRequest>) -> Result<Response<DecideResponse>, Status> {
        let DecideRequest { order_id, commit } = request.into_inner();
        let id = api::order_id(&order_id)?;
        self.prepared.decide(&id.to_string(), commit).await.map_err(Error::from)?;
        let (command, intent) = if commit { (Command::Capture, Intent::Capture) } else { (Command::Void, Intent::Void) };
        self.follower.follow(id, None, command, intent).await?;
        Ok(Response::new(DecideResponse {}))
    }

    async fn list_prepared(&self, _request: Request<ListPreparedRequest>) -> Result<Response<ListPreparedResponse>, Status> {
        Ok(Response::new(ListPreparedResponse { order_ids: self.prepared.list().await.map_err(Error::from)? }))
    }
}

impl Participant {
    /// Holds the amount and prepares the wish to take it; or says why not.
    async fn vote(&self, id: OrderId, terms: Terms) -> Result<Option<&'static str>, Error> {
        let key = id.to_string();
        if self.prepared.is_prepared(&key).await? {
            return Ok(None);
        }
        let payment = self.follower.follow(id, None, Command::Authorize(terms), Intent::Authorization).await?;
        match payment.state {
            State::Authorized if payment.wanted == Some(Wish::Capture) => return Ok(None),
            State::Authorized => {}
            State::RequiresAction => return Ok(Some(STEP_UP)),
            state if state.was_captured() => return Ok(None),
            State::Declined => return Err(Refusal::Declined.into()),
            State::Expired => return Err(Refusal::Expired.into()),
            _ => return Err(Refusal::Voided.into()),
        }
        let mut tx = self.pool.begin().await?;
        if store::want_of_authorized_in(&mut tx, id, Wish::Capture).await? {
            self.prepared.prepare(tx, &key).await?;
            return Ok(None);
        }
        Err(Refusal::NotAuthorized.into())
    }
}
