//! The reservation of an order as a pure state machine, and what it does to stock (STOCK-1, STOCK-2).
//!
//! ```text
//!            reserve                commit
//!   nothing ─────────> reserved ─────────────> committed        on hand ──> reserved ──> sold
//!      └── release ───────┴── release ──> released              on hand <── reserved
//! ```
//! A release that comes first leaves a tombstone: the reserve that was on its way is refused.

use std::collections::BTreeMap;

use ids::Sku;

use super::{Lines, Refusal};

/// Where a reservation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Units are held for the order.
    Reserved,
    /// Units are sold. Final.
    Committed,
    /// Units were given back. Final.
    Released,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reserved, Self::Committed, Self::Released];

    /// The name in the database and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Committed => "committed",
            Self::Released => "released",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// The reservation of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Where it stands.
    pub state: State,
    /// What it is about.
    pub lines: Lines,
    /// Grows by one with each event.
    pub version: u64,
    /// Why nothing was ever held: what the first reserve was told.
    pub refusal: Option<Refusal>,
}

/// Units of one item in this region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stock {
    /// Free to be reserved.
    pub on_hand: i64,
    /// Held for orders.
    pub reserved: i64,
    /// Gone.
    pub sold: i64,
}

/// What a decision looks at: the order's reservation, if there is one, and the stock of the SKUs concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shelf {
    /// The order's reservation.
    pub reservation: Option<Reservation>,
    /// Stock by SKU; one that is absent is not in the catalog.
    pub stock: BTreeMap<Sku, Stock>,
}

/// What is wanted of a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Hold these units.
    Reserve(Lines),
    /// Give the units back.
    Release,
    /// Turn the units into a sale.
    Commit,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// These units are held.
    Reserved(Lines),
    /// These units are sold.
    Committed(Lines),
    /// These units came back; none when nothing had been reserved.
    Released(Lines),
}

/// How each unit of an event moves: what is added to each count per unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Movement {
    /// Added to the free units.
    pub on_hand: i64,
    /// Added to the held units.
    pub reserved: i64,
    /// Added to the sold units.
    pub sold: i64,
}

impl Event {
    /// The state it leads to.
    #[must_use]
    pub fn state(&self) -> State {
        match self {
            Self::Reserved(_) => State::Reserved,
            Self::Committed(_) => State::Committed,
            Self::Released(_) => State::Released,
        }
    }

    /// The units it is about.
    #[must_use]
    pub fn lines(&self) -> &Lines {
        match self {
            Self::Reserved(lines) | Self::Committed(lines) | Self::Released(lines) => lines,
        }
    }

    /// How its units move.
    #[must_use]
    pub fn movement(&self) -> Movement {
        match self {
            Self::Reserved(_) => Movement { on_hand: -1, reserved: 1, sold: 0 },
            Self::Committed(_) => Movement { on_hand: 0, reserved: -1, sold: 1 },
            Self::Released(_) => Movement { on_hand: 1, reserved: -1, sold: 0 },
        }
    }
}

/// What `command` leads to. Nothing when it was done before: a repeat changes nothing.
///
/// # Errors
/// A [`Refusal`] when the reservation cannot go there; then nothing is to be changed.
pub fn decide(shelf: &Shelf, command: Command) -> Result<Vec<Event>, Refusal> {
    let Some(reservation) = &shelf.reservation else {
        return match command {
            Command::Reserve(lines) => reserve(&shelf.stock, lines),
            Command::Release => Ok(vec![Event::Released(Lines::default())]),
            Command::Commit => Err(Refusal::Missing),
        };
    };
    match (reservation.state, command) {
        (State::Released, Command::Reserve(_)) => Err(reservation.refusal.clone().unwrap_or(Refusal::Released)),
        (State::Released, Command::Commit) => Err(Refusal::Released),
        (_, Command::Reserve(lines)) if lines != reservation.lines => Err(Refusal::Differs),
        (State::Committed, Command::Release) => Err(Refusal::Committed),
        (State::Reserved, Command::Commit) => Ok(vec![Event::Committed(reservation.lines.clone())]),
        (State::Reserved, Command::Release) => Ok(vec![Event::Released(reservation.lines.clone())]),
        (State::Reserved | State::Committed, Command::Reserve(_))
        | (State::Committed, Command::Commit)
        | (State::Released, Command::Release) => Ok(Vec::new()),
    }
}

fn reserve(stock: &BTreeMap<Sku, Stock>, lines: Lines) -> Result<Vec<Event>, Refusal> {
    let unknown: Vec<Sku> = lines.skus().filter(|sku| !stock.contains_key(*sku)).cloned().collect();
    if !unknown.is_empty() {
        return Err(Refusal::UnknownSku(unknown));
    }
    let has_enough = |sku, quantity| stock.get(sku).is_some_and(|stock| stock.on_hand >= i64::from(quantity));
    let short: Vec<Sku> = lines.iter().filter(|(sku, quantity)| !has_enough(*sku, *quantity)).map(|(sku, _)| sku.clone()).collect();
    if short.is_empty() { Ok(vec![Event::Reserved(lines)]) } else { Err(Refusal::OutOfStock(short)) }
}

/// The shelf after `event`.
#[must_use]
pub fn apply(mut shelf: Shelf, event: &Event) -> Shelf {
    let movement = event.movement();
    for (sku, quantity) in event.lines().iter() {
        if let Some(stock) = shelf.stock.get_mut(sku) {
            stock.on_hand += movement.on_hand * i64::from(quantity);
            stock.reserved += movement.reserved * i64::from(quantity);
            stock.sold += movement.sold * i64::from(quantity);
        }
    }
    let version = shelf.reservation.map_or(0, |reservation| reservation.version) + 1;
    shelf.reservation = Some(Reservation { state: event.state(), lines: event.lines().clone(), version, refusal: None });
    shelf
}

#[cfg(test)]
mod tests;
