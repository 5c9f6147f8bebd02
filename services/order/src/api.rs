//! `order.v1.OrderService`: decode, call, encode.

use ids::{OrderId, Region};
use proto::{
    market::v1 as market,
    order::v1::{
        self as wire, GetOrderRequest, GetOrderResponse, PlaceOrderRequest, PlaceOrderResponse, order_service_server::OrderService,
    },
};
use spine::Wake;
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use crate::{
    domain::{self, Address, Line, State},
    error::Error,
    events, metrics, saga,
    store::{self, Placed, Stored},
};

/// Answers the RPCs.
pub(crate) struct Api {
    pub(crate) pool: PgPool,
    pub(crate) home: Region,
    pub(crate) wake: Wake,
    pub(crate) starter: saga::Starter,
}

#[tonic::async_trait]
impl OrderService for Api {
    async fn place_order(&self, request: Request<PlaceOrderRequest>) -> Result<Response<PlaceOrderResponse>, Status> {
        let request = decode(request.into_inner())?;
        let (stored, replayed) = match store::place(&self.pool, self.home, request).await? {
            Placed::New(stored) => {
                self.wake.wake();
                self.starter.start_soon(stored.order.id);
                metrics::count(State::Placed);
                (stored, false)
            }
            // The same answer as the first time, whatever became of the order since.
            Placed::Replayed(id) => {
                let mut stored = Box::new(store::get(&self.pool, id).await?);
                (stored.order.state, stored.order.version) = (State::Placed, 1);
                stored.order.cancel_reason.clear();
                (stored, true)
            }
        };
        Ok(Response::new(PlaceOrderResponse { order: Some(encode(&stored)), replayed }))
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Result<Response<GetOrderResponse>, Status> {
        let id: OrderId = request.into_inner().order_id.parse().map_err(malformed)?;
        let stored = store::get(&self.pool, id).await?;
        Ok(Response::new(GetOrderResponse { order: Some(encode(&stored)) }))
    }
}

fn malformed(error: impl std::fmt::Display) -> Error {
    Error::Malformed(error.to_string())
}

fn decode(request: PlaceOrderRequest) -> Result<domain::Request, Error> {
    let line = |line: market::PricedLine| {
        let unit_price = line.unit_price.as_ref().ok_or_else(|| malformed("line.unit_price is required"))?;
        Ok(Line {
            sku: line.sku.parse().map_err(malformed)?,
            quantity: line.quantity,
            title: line.title,
            unit_price: unit_price.try_into().map_err(malformed)?,
        })
    };
    let address = request.address.ok_or_else(|| malformed("address is required"))?;
    Ok(domain::Request {
        session: request.session_id.parse().map_err(malformed)?,
        key: request.idempotency_key.parse().map_err(malformed)?,
        lines: request.lines.into_iter().map(line).collect::<Result<_, Error>>()?,
        payment_token: request.payment_token,
        address: Address {
            name: address.name,
            line1: address.line1,
            city: address.city,
            country: address.country,
            postal_code: address.postal_code,
        },
    })
}

fn encode(stored: &Stored) -> wire::Order {
    let order = &stored.order;
    let state = match order.state {
        State::Placed => wire::OrderState::Placed,
        State::Confirmed => wire::OrderState::Confirmed,
        State::Shipped => wire::OrderState::Shipped,
        State::Cancelled => wire::OrderState::Cancelled,
    };
    let address = order.address.clone();
    wire::Order {
        order_id: order.id.to_string(),
        state: state.into(),
        home_region: market::Region::from(order.home).into(),
        lines: order.lines.iter().map(events::line).collect(),
        total: Some(order.total.into()),
        address: Some(market::Address {
            name: address.name,
            line1: address.line1,
            city: address.city,
            country: address.country,
            postal_code: address.postal_code,
        }),
        cancel_reason: order.cancel_reason.clone(),
        placed_at: Some(prost_types::Timestamp {
            seconds: stored.placed_at.unix_timestamp(),
            nanos: stored.placed_at.nanosecond().cast_signed(),
        }),
        version: order.version,
        session_id: order.session.to_string(),
    }
}
