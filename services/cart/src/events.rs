//! The only mapping from carts to the wire and to the events that the service says.

use std::collections::BTreeMap;

use crdt::codec::Wire as _;
use ids::Sku;
use prost::Message as _;
use proto::{cart::v1 as wire, events::cart::v1 as event, market::v1 as market};
use store::outbox;

use crate::domain::{Cart, Event};

/// Kind of the event that tells of a shopper's change.
pub(crate) const DELTA: &str = "cart.delta";
/// Kind of the event that tells what left with an order.
pub(crate) const CHECKED_OUT: &str = "cart.checked_out";

/// What others hear of `event`, which made `cart`; `delta` is what the other region merges, `answer` what was said under a key.
pub(crate) fn of(cart: &Cart, event: &Event, delta: &crdt::Cart, answer: Option<event::KeyedAnswer>) -> outbox::Event {
    let (cart_id, version, delta) = (cart.id.to_string(), cart.version, delta.encode());
    let (kind, payload) = match event {
        Event::LineSet { .. } | Event::LineRemoved { .. } | Event::Absorbed { .. } => {
            (DELTA, event::CartDelta { cart_id, delta, version, answer }.encode_to_vec())
        }
        Event::CheckedOut { order_id, left } => {
            let order_id = order_id.to_string();
            (CHECKED_OUT, event::CartCheckedOut { cart_id, order_id, lines: lines(left), version, delta }.encode_to_vec())
        }
    };
    outbox::Event { id: uuid::Uuid::now_v7(), topic: spine::topics::CART_EVENTS, key: cart.id.to_string(), kind, payload }
}

/// A cart on the wire.
pub(crate) fn cart(cart: &Cart) -> wire::Cart {
    wire::Cart { cart_id: cart.id.to_string(), lines: lines(&cart.lines()), version: cart.version }
}

fn lines(lines: &BTreeMap<Sku, u32>) -> Vec<market::Line> {
    lines.iter().map(|(sku, quantity)| market::Line { sku: sku.to_string(), quantity: *quantity }).collect()
}
