//! Sound facts to begin with: a market of some orders in which every promise is kept.

use ids::Region;
use money::{Currency, Money};
use uuid::{Builder, Uuid};

use super::{Acknowledged, Cart, Charge, Facts, Hold, Key, Millis, Order, Reservation, State, Stock, Transfer};
use crate::verify::checks::pay_2::Entry;

pub(in crate::verify) const NOW: Millis = 1_800_000_000_000;
pub(in crate::verify) const EUR: Currency = Currency::EUR;

/// A version 7 UUID of that moment.
pub(in crate::verify) fn id(at: Millis, number: u32) -> Uuid {
    let mut rest = [0; 10];
    rest[6..].copy_from_slice(&number.to_be_bytes());
    Builder::from_unix_timestamp_millis(at.unsigned_abs(), &rest).into_uuid()
}

/// The id of the sample's order of that number.
pub(in crate::verify) fn order_id(number: u32) -> Uuid {
    id(NOW - 60_000, number)
}

/// The sample's transfer: 5 units from eu to us.
pub(in crate::verify) fn transfer_id() -> Uuid {
    id(NOW - 60_000, 1_000_000)
}

pub(in crate::verify) fn entry(order_id: Uuid, cause: &str, account: &str, amount: i64) -> Entry {
    Entry { order_id: Some(order_id), cause: cause.to_owned(), source: String::new(), account: account.to_owned(), amount, currency: EUR }
}

/// Orders that ended so, one unit of one SKU each, alternately at home in eu and us.
pub(in crate::verify) fn market(ends: &[State]) -> Facts {
    let mut facts = Facts { horizon: NOW, since: 0, keys_since: 0, ..Facts::default() };
    for side in &mut facts.sides {
        let (reserved, sold) = (0, 0);
        let stock =
            Stock { sku: "MUG".into(), stocked: 100, on_hand: 100, reserved, sold, reserved_by_lines: 0, sold_by_lines: 0, moved: 0 };
        side.shelf.stock.push(stock);
        side.carts.insert("s1".into(), Cart { state: 5, changed_at: NOW - 60_000 });
    }
    for (region, quantity) in [(Region::Eu, -5), (Region::Us, 5)] {
        let side = facts.side_mut(region);
        side.shelf.transfers.insert(transfer_id(), Transfer { sku: "MUG".into(), quantity, moved_at: NOW - 60_000 });
        let stock = &mut side.shelf.stock[0];
        (stock.stocked, stock.on_hand, stock.moved) = (100 + quantity, 100 + quantity, quantity);
    }
    for (number, state) in (0..).zip(ends) {
        add(&mut facts, number, *state);
    }
    facts
}

fn add(facts: &mut Facts, number: u32, state: State) {
    let (id, home) = (order_id(number), Region::ALL[number as usize % 2]);
    let total = Money::new(1000 + i64::from(number), EUR);
    let terms = i64::from(number);
    let order = Order { home, state, total, version: 3, terms, row: terms, units: 77, placed_at: NOW - 60_000 };
    for region in Region::ALL {
        facts.side_mut(region).orders.insert(id, order.clone());
    }
    facts.journal.push(Acknowledged {
        order_id: id,
        key: format!("key-{number}").into(),
        region: Some(home),
        total: Some(total),
        ends: None,
    });
    let side = facts.side_mut(home);
    side.keys.push(Key { digest: i64::from(number), order_id: id });
    let hold = if state.is_sold() { Hold::Committed } else { Hold::Released };
    side.shelf.reservations.insert(id, Reservation { state: hold, units: 77 });
    if !state.is_sold() {
        return;
    }
    let stock = &mut side.shelf.stock[0];
    (stock.on_hand, stock.sold, stock.sold_by_lines) = (stock.on_hand - 1, stock.sold + 1, stock.sold_by_lines + 1);
    let amount = total.amount_minor;
    let refunded = if state == State::Returned { amount } else { 0 };
    for (account, amount) in [("psp_receivable", amount), ("sales", -amount)] {
        side.books.enter(entry(id, "capture", account, amount));
        if refunded > 0 {
            side.books.enter(entry(id, "refund", account, -amount));
        }
    }
    let charge = Charge { id: format!("ch_{number}").into(), held: 0, captured: amount, refunded, charged_back: 0, currency: EUR };
    facts.charges.insert(id, vec![charge]);
}
