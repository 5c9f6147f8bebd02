//! `order.v1.OrderService`: decode, call, encode.

mod wire;

use ids::OrderId;
use prost::Message as _;
use proto::order::v1::{
    CancelOrderRequest, CancelOrderResponse, GetOrderRequest, GetOrderResponse, Order, PlaceOrderRequest, PlaceOrderResponse,
    ReturnOrderRequest, ReturnOrderResponse, order_service_server::OrderService,
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use crate::{
    checkout::Driver,
    domain::{Course, Refusal, State},
    error::Error,
    metrics, saga,
    store::{self, Granted, Placed, Placer, Stored, Wanted, Wish},
};
use wire::{decode, encode, malformed};

/// Answers the RPCs.
pub(crate) struct Api {
    pub(crate) pool: PgPool,
    pub(crate) placer: Placer,
    pub(crate) driver: Driver,
    pub(crate) starter: saga::Starter,
}

impl Api {
    /// Stores a wish; the order as it then was, whether the call was a repeat.
    async fn wish(&self, wish: Wish) -> Result<(Order, bool), Error> {
        let (answer, replayed) = match store::wish(&self.pool, wish, |stored| encode(stored).encode_to_vec()).await? {
            Granted::New(answer) => (answer, false),
            Granted::Replayed(answer) => (answer, true),
        };
        let order = Order::decode(answer.as_slice()).map_err(|_| Error::Malformed("the stored answer is no order".to_owned()))?;
        Ok((order, replayed))
    }
}

#[tonic::async_trait]
impl OrderService for Api {
    async fn place_order(&self, request: Request<PlaceOrderRequest>) -> Result<Response<PlaceOrderResponse>, Status> {
        let request = decode(request.into_inner())?;
        let (stored, replayed) = match self.placer.place(request).await? {
            Placed::New(stored) => {
                self.driver.start_soon(stored.order.id);
                metrics::count(State::Placed);
                (stored, false)
            }
            // The same answer as the first time, whatever became of the order since.
            Placed::Replayed(id) => (Box::new(as_placed(store::get(&self.pool, id).await?)), true),
        };
        Ok(Response::new(PlaceOrderResponse { order: Some(encode(&stored)), replayed }))
    }

    async fn cancel_order(&self, request: Request<CancelOrderRequest>) -> Result<Response<CancelOrderResponse>, Status> {
        let CancelOrderRequest { order_id, session_id, idempotency_key } = request.into_inner();
        let wish = wish(&order_id, &session_id, &idempotency_key, Wanted::Cancel)?;
        let id = wish.order;
        if !self.driver.can_cancel() {
            return Err(Error::from(Refusal::TooLate).into());
        }
        let (order, replayed) = self.wish(wish).await?;
        // Also after a repeat: the first time may have died between its commit and this.
        self.starter.tell_cancelled_soon(id);
        Ok(Response::new(CancelOrderResponse { order: Some(order), replayed }))
    }

    async fn return_order(&self, request: Request<ReturnOrderRequest>) -> Result<Response<ReturnOrderResponse>, Status> {
        let ReturnOrderRequest { order_id, session_id, idempotency_key } = request.into_inner();
        let wish = wish(&order_id, &session_id, &idempotency_key, Wanted::Return)?;
        let id = wish.order;
        let (order, replayed) = self.wish(wish).await?;
        self.starter.start_return_soon(id);
        Ok(Response::new(ReturnOrderResponse { order: Some(order), replayed }))
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Result<Response<GetOrderResponse>, Status> {
        let id: OrderId = request.into_inner().order_id.parse().map_err(malformed)?;
        let stored = store::get(&self.pool, id).await?;
        Ok(Response::new(GetOrderResponse { order: Some(encode(&stored)) }))
    }
}

/// The order as it was when it was accepted.
fn as_placed(mut stored: Stored) -> Stored {
    (stored.order.state, stored.order.course, stored.order.version) = (State::Placed, Course::Open, 1);
    stored.order.cancel_reason.clear();
    stored
}

fn wish(order: &str, session: &str, key: &str, what: Wanted) -> Result<Wish, Error> {
    let (order, session) = (order.parse().map_err(malformed)?, session.parse().map_err(malformed)?);
    Ok(Wish { order, session, key: key.parse().map_err(malformed)?, what })
}
