//! The cart as a pure state machine over a state that regions merge.

use std::collections::BTreeMap;

use crdt::{ReplicaId, SourceId};
use ids::{OrderId, SessionId, Sku};
use sha2::{Digest as _, Sha256};

/// Most lines of a cart. Two regions that fill one apart may together have more.
pub const MAX_LINES: usize = 100;
/// Most units of one line.
pub const MAX_QUANTITY: u32 = 999;

/// A cart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cart {
    /// Its id: the shopper's session.
    pub id: SessionId,
    /// What regions merge.
    pub state: crdt::Cart,
    /// Grows by one with each change of the state in this region.
    pub version: u64,
}

impl Cart {
    /// A cart never written to.
    #[must_use]
    pub fn empty(id: SessionId) -> Self {
        Self { id, state: crdt::Cart::new(), version: 0 }
    }

    /// Units by SKU, at most [`MAX_QUANTITY`] of each. What is no SKU is not shown: nothing puts it in.
    #[must_use]
    pub fn lines(&self) -> BTreeMap<Sku, u32> {
        let line = |(sku, quantity): (&str, i64)| {
            let quantity = u32::try_from(quantity).unwrap_or(MAX_QUANTITY).min(MAX_QUANTITY);
            Some((sku.parse().ok()?, quantity))
        };
        self.state.lines().into_iter().filter_map(line).collect()
    }

    /// Takes in what another region changed; says whether that was news.
    pub fn merge(&mut self, delta: &crdt::Cart) -> bool {
        let before = self.state.clone();
        self.state.merge(delta);
        let is_news = self.state != before;
        self.version += u64::from(is_news);
        is_news
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
    /// The lines of another cart shall be in this one.
    Absorb {
        /// Which cart.
        from: SessionId,
        /// As it is there.
        state: crdt::Cart,
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
    /// The lines of another cart are in this one.
    Absorbed {
        /// Which cart.
        from: SessionId,
        /// As it was there.
        state: crdt::Cart,
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
    /// A cart cannot take itself in.
    #[error("from_cart_id must be another cart than cart_id")]
    Itself,
    /// One more line is too many.
    #[error("a cart has at most {MAX_LINES} lines; take one out first")]
    Full,
}

/// What `command` leads to. `None` when there is nothing to do. To set a line to what it shows is something: it stays so even if the other region
/// removes it at the same moment.
///
/// # Errors
/// A [`Refusal`]; then nothing is to be changed.
pub fn decide(cart: &Cart, command: Command) -> Result<Option<Event>, Refusal> {
    let lines = cart.lines();
    match command {
        Command::SetLine { quantity, .. } if !(1..=MAX_QUANTITY).contains(&quantity) => Err(Refusal::Quantity),
        Command::SetLine { sku, .. } if lines.len() >= MAX_LINES && !lines.contains_key(&sku) => Err(Refusal::Full),
        Command::SetLine { sku, quantity } => Ok(Some(Event::LineSet { sku, quantity })),
        Command::RemoveLine { sku } => Ok(lines.contains_key(&sku).then_some(Event::LineRemoved { sku })),
        Command::Absorb { from, .. } if from == cart.id => Err(Refusal::Itself),
        Command::Absorb { from, state } => {
            let mut absorbing = cart.state.clone();
            absorbing.absorb(source(&from), &state);
            Ok((absorbing != cart.state).then_some(Event::Absorbed { from, state }))
        }
        Command::CheckOut { order_id, lines: ordered } => {
            let left = leaving(&lines, ordered);
            Ok((!left.is_empty()).then_some(Event::CheckedOut { order_id, left }))
        }
    }
}

/// Under this id a cart's lines stand in those that took them in.
fn source(id: &SessionId) -> SourceId {
    let digest = Sha256::digest(id.as_str());
    SourceId(digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte)))
}

fn leaving(lines: &BTreeMap<Sku, u32>, ordered: Vec<(Sku, u32)>) -> BTreeMap<Sku, u32> {
    let mut left: BTreeMap<Sku, u32> = BTreeMap::new();
    for (sku, quantity) in ordered {
        if let Some(there) = lines.get(&sku) {
            let leaves = left.entry(sku).or_default();
            *leaves = leaves.saturating_add(quantity).min(*there);
        }
    }
    left.retain(|_, quantity| *quantity > 0);
    left
}

/// Changes `cart` by `event` in the name of `replica`. Returns what the other region merges to have the change too.
pub fn apply(cart: &mut Cart, replica: ReplicaId, event: &Event) -> crdt::Cart {
    cart.version += 1;
    match event {
        Event::LineSet { sku, quantity } => cart.state.set(replica, sku.as_str(), *quantity),
        Event::LineRemoved { sku } => cart.state.remove(sku.as_str()),
        Event::Absorbed { from, state } => cart.state.absorb(source(from), state),
        Event::CheckedOut { left, .. } => {
            let lines = cart.lines();
            let rest = |sku| lines.get(sku).copied().unwrap_or_default();
            let mut delta = crdt::Cart::new();
            // What is left over is set, not counted down: two regions that both do it do it once.
            for (sku, quantity) in left {
                delta.merge(&cart.state.set(replica, sku.as_str(), rest(sku).saturating_sub(*quantity)));
            }
            delta
        }
    }
}

#[cfg(test)]
mod tests;
