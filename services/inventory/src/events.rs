//! The only mapping from changes to the events that the service says.

use ids::OrderId;
use prost::Message as _;
use proto::{events::inventory::v1 as event, inventory::v1 as wire, market::v1 as market};
use store::outbox;

use crate::domain::{Event, Item, Lines, State};

/// The item as it is now.
pub(crate) fn of_item(item: &Item, version: u64) -> outbox::Event {
    let payload = event::ItemChanged { item: Some(self::item(item, 0)), version }.encode_to_vec();
    outbox::Event {
        id: uuid::Uuid::now_v7(),
        topic: spine::topics::INVENTORY_ITEM,
        key: item.sku.to_string(),
        kind: "inventory.item",
        payload,
    }
}

/// The state that the order's reservation has just reached.
pub(crate) fn of_reservation(id: OrderId, event: &Event, version: u64) -> outbox::Event {
    let kind = match event {
        Event::Reserved(_) => "inventory.reserved",
        Event::Committed(_) => "inventory.committed",
        Event::Released(_) => "inventory.released",
    };
    let (order_id, lines) = (id.to_string(), lines(event.lines()));
    let payload = event::ReservationChanged { order_id, state: state(event.state()).into(), lines, version }.encode_to_vec();
    outbox::Event { id: uuid::Uuid::now_v7(), topic: spine::topics::INVENTORY_EVENTS, key: id.to_string(), kind, payload }
}

/// An item on the wire.
pub(crate) fn item(item: &Item, in_stock: i64) -> wire::Item {
    wire::Item {
        sku: item.sku.to_string(),
        title: item.title.clone(),
        description: item.description.clone(),
        category: item.category.clone(),
        price: Some(item.price.into()),
        in_stock,
    }
}

/// A state on the wire.
pub(crate) fn state(state: State) -> wire::ReservationState {
    match state {
        State::Reserved => wire::ReservationState::Reserved,
        State::Committed => wire::ReservationState::Committed,
        State::Released => wire::ReservationState::Released,
    }
}

fn lines(lines: &Lines) -> Vec<market::Line> {
    lines.iter().map(|(sku, quantity)| market::Line { sku: sku.to_string(), quantity }).collect()
}
