//! What the promises are checked against: facts as the engines hold them, without payloads.
//!
//! Read in this order: each region's database in one snapshot, then the provider, then Kafka. So whatever had to happen before something
//! in a database can be seen in what is read after it.

use std::collections::HashMap;

use ids::Region;
use money::{Currency, Money};
use uuid::Uuid;

use super::checks::pay_2::Books;

/// Unix time in milliseconds.
pub type Millis = i64;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Accepted.
    Placed,
    /// Paid.
    Confirmed,
    /// On its way. Final.
    Shipped,
    /// Shipped, and its shopper sends it back.
    Returning,
    /// Sent back, and the money with it. Final.
    Returned,
    /// Ended without a charge. Final.
    Cancelled,
}

impl State {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Confirmed => "confirmed",
            Self::Shipped => "shipped",
            Self::Returning => "being returned",
            Self::Returned => "returned",
            Self::Cancelled => "cancelled",
        }
    }

    /// What a row says: its state, and whether it is being sent back.
    #[must_use]
    pub fn of(name: &str, is_returning: bool) -> Option<Self> {
        match name {
            "placed" => Some(Self::Placed),
            "confirmed" => Some(Self::Confirmed),
            "shipped" if is_returning => Some(Self::Returning),
            "shipped" => Some(Self::Shipped),
            "returned" => Some(Self::Returned),
            "cancelled" => Some(Self::Cancelled),
            _ => None,
        }
    }

    /// True when the order has ended.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Shipped | Self::Returned | Self::Cancelled)
    }

    /// True when its units were sold.
    #[must_use]
    pub fn is_sold(self) -> bool {
        matches!(self, Self::Shipped | Self::Returning | Self::Returned)
    }
}

/// One region's copy of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Who owns it.
    pub home: Region,
    /// Where it stands.
    pub state: State,
    /// What it costs.
    pub total: Money,
    /// Grows with each change.
    pub version: i64,
    /// Digest of what never changes: who ordered what, for how much, to where.
    pub terms: i64,
    /// Digest of the whole row.
    pub row: i64,
    /// Digest of its units by SKU.
    pub units: i64,
    /// When it was accepted.
    pub placed_at: Millis,
}

/// An idempotency key that was answered with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Digest of scope and key.
    pub digest: i64,
    /// The answer.
    pub order_id: Uuid,
}

/// Where a reservation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Units are held.
    Reserved,
    /// Units are sold.
    Committed,
    /// Units are free again, or never were held.
    Released,
}

impl Hold {
    /// The state of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "reserved" => Some(Self::Reserved),
            "committed" => Some(Self::Committed),
            "released" => Some(Self::Released),
            _ => None,
        }
    }
}

/// The reservation of one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// Where it stands.
    pub state: Hold,
    /// Digest of its units by SKU, as of [`Order::units`].
    pub units: i64,
}

/// One SKU in one home: its counters, and what its reservations add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stock {
    /// Which.
    pub sku: Box<str>,
    /// Units that were put into stock.
    pub stocked: i64,
    /// Units that are free.
    pub on_hand: i64,
    /// Units that are held.
    pub reserved: i64,
    /// Units that are sold.
    pub sold: i64,
    /// Units of reservations that hold them.
    pub reserved_by_lines: i64,
    /// Units of reservations that were committed.
    pub sold_by_lines: i64,
    /// What of `stocked` came from the other home.
    pub moved: i64,
}

impl Stock {
    /// What the home began with.
    #[must_use]
    pub fn initial(&self) -> i64 {
        self.stocked - self.moved
    }
}

/// One home's half of units that moved between the homes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Which item.
    pub sku: Box<str>,
    /// Units, below zero where they were given.
    pub quantity: i64,
    /// When it was made here.
    pub moved_at: Millis,
}

/// One region's copy of a cart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cart {
    /// Digest of its state.
    pub state: i64,
    /// When it last changed here.
    pub changed_at: Millis,
}

/// A charge in the provider's list. Declined ones are not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The provider's id of it.
    pub id: Box<str>,
    /// Held, or waiting for the shopper.
    pub held: i64,
    /// Taken.
    pub captured: i64,
    /// Given back of what was taken.
    pub refunded: i64,
    /// Taken back by the bank for its shopper.
    pub charged_back: i64,
    /// Currency of all of them.
    pub currency: Currency,
}

/// An order that the load generator was told of: a line of its journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// The order.
    pub order_id: Uuid,
    /// Under which key.
    pub key: Box<str>,
    /// Which region accepted it, if noted.
    pub region: Option<Region>,
    /// What it was said to cost, if noted.
    pub total: Option<Money>,
    /// How it has to end, if its shopper was promised that.
    pub ends: Option<State>,
}

/// The stock of one home. Both regions have the rows of both homes; each home's are looked at where they are written.
#[derive(Debug, Default)]
pub struct Shelf {
    /// Reservations by order.
    pub reservations: HashMap<Uuid, Reservation>,
    /// Every SKU.
    pub stock: Vec<Stock>,
    /// The home's half of each transfer between the homes, by id.
    pub transfers: HashMap<Uuid, Transfer>,
}

/// What one region's database says.
#[derive(Debug, Default)]
pub struct Side {
    /// Orders of both regions.
    pub orders: HashMap<Uuid, Order>,
    /// Keys that were answered with an order.
    pub keys: Vec<Key>,
    /// What the home of this region's name may sell, from the database of the region that holds it.
    pub shelf: Shelf,
    /// Carts by id.
    pub carts: HashMap<Box<str>, Cart>,
    /// The ledger.
    pub books: Books,
    /// By order: parts of its price that somebody asked us to give back; what a return or a saga gives back is not among them.
    pub granted: HashMap<Uuid, i64>,
}

/// Everything but the spine, which is too much to be held.
#[derive(Debug, Default)]
pub struct Facts {
    /// Nothing younger is judged: it may be on its way.
    pub horizon: Millis,
    /// Nothing older is judged.
    pub since: Millis,
    /// How long idempotency keys are kept: none is missed of orders older than this.
    pub keys_since: Millis,
    /// The databases, eu and us.
    pub sides: [Side; 2],
    /// The provider's charges by order.
    pub charges: HashMap<Uuid, Vec<Charge>>,
    /// What the load generator was told.
    pub journal: Vec<Acknowledged>,
}

impl Charge {
    /// What we took and did not give back. What the bank took back is another matter: no promise of ours was broken.
    #[must_use]
    pub fn kept(&self) -> i64 {
        self.captured - self.refunded
    }
}

impl Facts {
    /// One region's database.
    #[must_use]
    pub fn side(&self, region: Region) -> &Side {
        &self.sides[region as usize]
    }

    /// The same, to be filled.
    pub fn side_mut(&mut self, region: Region) -> &mut Side {
        &mut self.sides[region as usize]
    }

    /// The stock of a home, whoever holds it.
    #[must_use]
    pub fn shelf(&self, home: Region) -> &Shelf {
        &self.side(home).shelf
    }

    /// An order as its home region has it, or as the other one does when the home has none.
    #[must_use]
    pub fn order(&self, id: Uuid) -> Option<&Order> {
        let copies = Region::ALL.map(|region| (region, self.side(region).orders.get(&id)));
        let at_home = copies.iter().find_map(|(region, copy)| copy.filter(|order| order.home == *region));
        at_home.or_else(|| copies.iter().find_map(|(_, copy)| *copy))
    }

    /// What the shopper pays for an order, now that it has ended.
    #[must_use]
    pub fn due(&self, id: Uuid, order: &Order) -> i64 {
        let granted: i64 = self.sides.iter().filter_map(|side| side.granted.get(&id)).sum();
        if order.state == State::Shipped { order.total.amount_minor - granted } else { 0 }
    }

    /// Every order that is old enough to be judged, once, as [`Facts::order`] gives it.
    pub fn orders(&self) -> impl Iterator<Item = (Uuid, &Order)> {
        let [eu, us] = &self.sides;
        let ids = eu.orders.keys().chain(us.orders.keys().filter(|id| !eu.orders.contains_key(id)));
        ids.filter_map(|id| Some((*id, self.order(*id)?))).filter(|(_, order)| self.is_judged(order.placed_at))
    }

    /// True for a moment that is neither too young nor too old to be judged.
    #[must_use]
    pub fn is_judged(&self, at: Millis) -> bool {
        (self.since..=self.horizon).contains(&at)
    }
}

/// When a version 7 UUID was made.
#[must_use]
pub fn made_at(id: Uuid) -> Option<Millis> {
    let (seconds, nanos) = id.get_timestamp().filter(|_| id.get_version_num() == 7)?.to_unix();
    i64::try_from(seconds).ok()?.checked_mul(1000)?.checked_add(i64::from(nanos / 1_000_000))
}

#[cfg(test)]
pub(super) mod samples;
