//! `checkout.v1.ParticipantService`: the stock of an order as a part of a two-phase commit.

use ids::{OrderId, Region};
use proto::checkout::v1::{
    DecideRequest, DecideResponse, ListPreparedRequest, ListPreparedResponse, PrepareRequest, PrepareResponse,
    participant_service_server::ParticipantService,
};
use sqlx::PgPool;
use store::two_phase::Prepared;
use tonic::{Request, Response, Status};

use crate::{
    api::{decode_home, decode_lines, malformed},
    domain::{Command, Lines},
    error::Error,
    metrics,
    store::reservations,
};

/// Votes on stock, and sells or gives back as decided.
pub(crate) struct Participant {
    pub(crate) region: Region,
    pub(crate) pool: PgPool,
    pub(crate) prepared: Prepared,
}

#[tonic::async_trait]
impl ParticipantService for Participant {
    async fn prepare(&self, request: Request<PrepareRequest>) -> Result<Response<PrepareResponse>, Status> {
        let PrepareRequest { order_id, lines, home_region, .. } = request.into_inner();
        let (id, home, lines) = (decode_id(&order_id)?, decode_home(home_region, self.region)?, decode_lines(lines)?);
        let refusal = match self.sell(id, home, lines).await {
            Ok(()) => String::new(),
            Err(error @ Error::Refused(_)) => error.reason().to_owned(),
            Err(error) => return Err(error.into()),
        };
        Ok(Response::new(PrepareResponse { refusal }))
    }

    async fn decide(&self, request: Request<DecideRequest>) -> Result<Response<DecideResponse>, Status> {
        let DecideRequest { order_id, commit } = request.into_inner();
        self.prepared.decide(&decode_id(&order_id)?.to_string(), commit).await.map_err(Error::from)?;
        Ok(Response::new(DecideResponse {}))
    }

    async fn list_prepared(&self, _request: Request<ListPreparedRequest>) -> Result<Response<ListPreparedResponse>, Status> {
        Ok(Response::new(ListPreparedResponse { order_ids: self.prepared.list().await.map_err(Error::from)? }))
    }
}

impl Participant {
    /// Prepares the sale of `lines`. Until it is decided nobody else can have the rows of this stock.
    async fn sell(&self, id: OrderId, home: Region, lines: Lines) -> Result<(), Error> {
        let key = id.to_string();
        if self.prepared.is_prepared(&key).await? {
            return Ok(());
        }
        let mut tx = self.pool.begin().await?;
        let mut events = reservations::apply_in(&mut tx, id, home, Command::Reserve(lines)).await?.events;
        events.extend(reservations::apply_in(&mut tx, id, home, Command::Commit).await?.events);
        // Nothing happened: it was sold before.
        if !events.is_empty() {
            self.prepared.prepare(tx, &key).await?;
            metrics::count(&events);
        }
        Ok(())
    }
}

fn decode_id(id: &str) -> Result<OrderId, Error> {
    id.parse().map_err(malformed)
}
