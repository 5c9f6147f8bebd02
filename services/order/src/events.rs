//! The only mapping from an order to the events it says.

use prost::Message as _;
use proto::{events::order::v1 as event, market::v1 as wire};
use store::outbox::Event;

use crate::domain::{Line, Order, State};

/// [`of`] an order that was accepted, where it is checked out by events alone: whoever takes the money hears of the card that way.
pub(crate) fn with_card(order: &Order) -> Event {
    Event { payload: event::OrderPlaced { payment_token: order.payment_token.clone(), ..placed(order) }.encode_to_vec(), ..of(order) }
}

/// The event that tells of the state `order` has just reached.
pub(crate) fn of(order: &Order) -> Event {
    let (order_id, version) = (order.id.to_string(), order.version);
    let (kind, payload) = match order.state {
        State::Placed => ("order.placed", placed(order).encode_to_vec()),
        State::Confirmed => ("order.confirmed", event::OrderConfirmed { order_id, version }.encode_to_vec()),
        State::Shipped => ("order.shipped", event::OrderShipped { order_id, version }.encode_to_vec()),
        State::Returned => ("order.returned", event::OrderReturned { order_id, version }.encode_to_vec()),
        State::Cancelled => {
            let reason = order.cancel_reason.clone();
            ("order.cancelled", event::OrderCancelled { order_id, reason, version }.encode_to_vec())
        }
    };
    Event { id: uuid::Uuid::now_v7(), topic: spine::topics::ORDER_EVENTS, key: order.id.to_string(), kind, payload }
}

fn placed(order: &Order) -> event::OrderPlaced {
    event::OrderPlaced {
        order_id: order.id.to_string(),
        session_id: order.session.to_string(),
        home_region: wire::Region::from(order.home).into(),
        lines: order.lines.iter().map(line).collect(),
        total: Some(order.total.into()),
        version: order.version,
        payment_token: String::new(),
    }
}

/// A line on the wire.
pub(crate) fn line(line: &Line) -> wire::PricedLine {
    wire::PricedLine {
        sku: line.sku.to_string(),
        quantity: line.quantity,
        title: line.title.clone(),
        unit_price: Some(line.unit_price.into()),
    }
}
