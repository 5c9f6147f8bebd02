//! Orders on the wire.

use proto::{
    market::v1 as market,
    order::v1::{self as wire, PlaceOrderRequest},
};

use crate::{
    domain::{self, Address, Course, Line, State},
    error::Error,
    events,
    store::Stored,
};

pub(super) fn malformed(error: impl std::fmt::Display) -> Error {
    Error::Malformed(error.to_string())
}

pub(super) fn decode(request: PlaceOrderRequest) -> Result<domain::Request, Error> {
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
        from_cart: request.lines_from_cart,
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

pub(super) fn encode(stored: &Stored) -> wire::Order {
    let order = &stored.order;
    let state = match order.state {
        State::Placed => wire::OrderState::Placed,
        State::Confirmed => wire::OrderState::Confirmed,
        State::Shipped => wire::OrderState::Shipped,
        State::Returned => wire::OrderState::Returned,
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
        cancel_requested: order.course == Course::Cancelling,
        return_requested: order.course == Course::Returning,
    }
}
