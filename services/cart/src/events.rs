//! The only mapping from carts to the wire and to the events that the service says.

use std::collections::BTreeMap;

use ids::{OrderId, Sku};
use prost::Message as _;
use proto::{cart::v1 as wire, events::cart::v1 as event, market::v1 as market};
use store::outbox;

use crate::domain::{Cart, Event};

/// What others hear of `event`, which made `cart`. Changes by the shopper stay between the shopper and the cart.
pub(crate) fn of(cart: &Cart, event: &Event) -> Option<outbox::Event> {
    match event {
        Event::LineSet { .. } | Event::LineRemoved { .. } => None,
        Event::CheckedOut { order_id, left } => Some(checked_out(cart, *order_id, left)),
    }
}

fn checked_out(cart: &Cart, order_id: OrderId, left: &BTreeMap<Sku, u32>) -> outbox::Event {
    let payload =
        event::CartCheckedOut { cart_id: cart.id.to_string(), order_id: order_id.to_string(), lines: lines(left), version: cart.version };
    outbox::Event {
        id: uuid::Uuid::now_v7(),
        topic: spine::topics::CART_EVENTS,
        key: cart.id.to_string(),
        kind: "cart.checked_out",
        payload: payload.encode_to_vec(),
    }
}

/// A cart on the wire.
pub(crate) fn cart(cart: &Cart) -> wire::Cart {
    wire::Cart { cart_id: cart.id.to_string(), lines: lines(&cart.lines), version: cart.version }
}

fn lines(lines: &BTreeMap<Sku, u32>) -> Vec<market::Line> {
    lines.iter().map(|(sku, quantity)| market::Line { sku: sku.to_string(), quantity: *quantity }).collect()
}
