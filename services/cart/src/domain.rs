//! The cart as a pure state machine.

use std::collections::BTreeMap;

use ids::{OrderId, SessionId, Sku};

/// Most lines of a cart.
pub const MAX_LINES: usize = 100;
/// Most units of one line.
pub const MAX_QUANTITY: u32 = 999;

/// A cart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cart {
    /// Its id: the shopper's session.
    pub id: SessionId,
    /// Units by SKU.
    pub lines: BTreeMap<Sku, u32>,
    /// Grows by one with each event.
    pub version: u64,
}

impl Cart {
    /// A cart never written to.
    #[must_use]
    pub fn empty(id: SessionId) -> Self {
        Self { id, lines: BTreeMap::new(), version: 0 }
    }
}

/// What is wanted of a cart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The line shall be so, whatever it was.
    SetLine {
        /// What.
        sku: Sku,
        /// How many.
        quantity: u32,
    },
    /// The line shall be gone.
    RemoveLine {
        /// What.
        sku: Sku,
    },
    /// These units were ordered.
    CheckOut {
        /// The order that took them.
        order_id: OrderId,
        /// How many of what; a SKU may stand in two lines.
        lines: Vec<(Sku, u32)>,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The line is so.
    LineSet {
        /// What.
        sku: Sku,
        /// How many.
        quantity: u32,
    },
    /// The line is gone.
    LineRemoved {
        /// What.
        sku: Sku,
    },
    /// Units left with an order.
    CheckedOut {
        /// The order.
        order_id: OrderId,
        /// What left: at most what was there.
        left: BTreeMap<Sku, u32>,
    },
}

/// Why a cart is not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a number of units.
    #[error("quantity must be 1 to {MAX_QUANTITY}; to take a line out, remove it")]
    Quantity,
    /// One more line is too many.
    #[error("a cart has at most {MAX_LINES} lines; take one out first")]
    Full,
}

/// What `command` leads to. `None` when the cart is like that already: a repeat changes nothing.
///
/// # Errors
/// A [`Refusal`]; then nothing is to be changed.
pub fn decide(cart: &Cart, command: Command) -> Result<Option<Event>, Refusal> {
    match command {
        Command::SetLine { quantity, .. } if !(1..=MAX_QUANTITY).contains(&quantity) => Err(Refusal::Quantity),
        Command::SetLine { sku, quantity } => match cart.lines.get(&sku) {
            Some(there) if *there == quantity => Ok(None),
            None if cart.lines.len() >= MAX_LINES => Err(Refusal::Full),
            _ => Ok(Some(Event::LineSet { sku, quantity })),
        },
        Command::RemoveLine { sku } => Ok(cart.lines.contains_key(&sku).then_some(Event::LineRemoved { sku })),
        Command::CheckOut { order_id, lines } => {
            let left = leaving(cart, lines);
            Ok((!left.is_empty()).then_some(Event::CheckedOut { order_id, left }))
        }
    }
}

fn leaving(cart: &Cart, ordered: Vec<(Sku, u32)>) -> BTreeMap<Sku, u32> {
    let mut left: BTreeMap<Sku, u32> = BTreeMap::new();
    for (sku, quantity) in ordered {
        if let Some(there) = cart.lines.get(&sku) {
            let leaves = left.entry(sku).or_default();
            *leaves = leaves.saturating_add(quantity).min(*there);
        }
    }
    left.retain(|_, quantity| *quantity > 0);
    left
}

/// The cart after `event`.
#[must_use]
pub fn apply(mut cart: Cart, event: &Event) -> Cart {
    match event {
        Event::LineSet { sku, quantity } => {
            cart.lines.insert(sku.clone(), *quantity);
        }
        Event::LineRemoved { sku } => {
            cart.lines.remove(sku);
        }
        Event::CheckedOut { left, .. } => {
            for (sku, quantity) in left {
                if let Some(there) = cart.lines.get_mut(sku) {
                    *there = there.saturating_sub(*quantity);
                }
            }
            cart.lines.retain(|_, quantity| *quantity > 0);
        }
    }
    cart.version += 1;
    cart
}

#[cfg(test)]
mod tests;
