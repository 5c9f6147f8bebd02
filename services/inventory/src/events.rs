//! The only mapping from changes to the events that the service says.

use ids::{OrderId, Region};
use prost::Message as _;
use proto::{events::inventory::v1 as event, inventory::v1 as wire, market::v1 as market};
use store::outbox;

use crate::{
    domain::{Event, Item, Lines, State},
    store::rights::Transfer,
};

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

/// Says what is wanted of the other region.
pub(crate) const RIGHTS_WANTED: &str = "inventory.rights_wanted";
/// Says what is given to it.
pub(crate) const RIGHTS_MOVED: &str = "inventory.rights_moved";

/// Says that an order of the other region's home ended.
pub(crate) const ORDER_ENDED: &str = "inventory.order_ended";

/// Units that are wanted.
pub(crate) fn rights_wanted(wanted: &Transfer, is_urgent: bool) -> outbox::Event {
    let Transfer { id, sku, quantity, .. } = wanted;
    let home_region = to(wanted);
    let said = event::RightsWanted { transfer_id: id.to_string(), sku: sku.to_string(), quantity: *quantity, is_urgent, home_region };
    of_rights(sku, RIGHTS_WANTED, said.encode_to_vec())
}

/// Units that are given.
pub(crate) fn rights_moved(given: &Transfer) -> outbox::Event {
    let Transfer { id, sku, quantity, .. } = given;
    let said = event::RightsMoved { transfer_id: id.to_string(), sku: sku.to_string(), quantity: *quantity, home_region: to(given) };
    of_rights(sku, RIGHTS_MOVED, said.encode_to_vec())
}

/// The home that gets the units.
fn to(transfer: &Transfer) -> i32 {
    market::Region::from(transfer.from.peer()).into()
}

/// An order that ended, and whose reservation is the other region's to end.
pub(crate) fn order_ended(id: OrderId, is_shipped: bool) -> outbox::Event {
    of_rights(id, ORDER_ENDED, event::OrderEnded { order_id: id.to_string(), is_shipped }.encode_to_vec())
}

fn of_rights(key: impl std::fmt::Display, kind: &'static str, payload: Vec<u8>) -> outbox::Event {
    outbox::Event { id: uuid::Uuid::now_v7(), topic: spine::topics::INVENTORY_RIGHTS, key: key.to_string(), kind, payload }
}

/// A home on the wire; `None` when it is not said.
pub(crate) fn home(home: i32) -> Result<Option<Region>, prost::UnknownEnumValue> {
    market::Region::try_from(home).map(|home| Region::try_from(home).ok())
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
