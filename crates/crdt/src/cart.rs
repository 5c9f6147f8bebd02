//! A shopping cart that two regions change at the same time. Promises CART-1 and CART-2.
//!
//! ```text
//! own       lines    mug: eu:4 +2, us:1 +1      context  eu 1..7, us 1..2     one for lines and address
//!           address  eu:7 "Main St 1"
//!           note     "gift" (last writer wins)
//! absorbed  #91f3..  tea: eu:1 +3               context  eu 1..2              a cart taken in at login, under its id
//! ```
//!
//! **Quantities.** Each change is a contribution under a fresh dot, and a quantity is the largest of those that were set concurrently plus the
//! sum of all changes; see [`lines`]. A line whose quantity is not above zero is not shown. Two concurrent decrements can leave one below
//! zero; [`Cart::change`] counts from what is shown, so the next one clears such a debt instead of paying it off, and a change down to zero
//! or below removes the line. Who says how many there shall be, as a form does, uses [`Cart::set`]: done twice, in one region or in two, it is
//! done once.
//!
//! **Folding.** A replica that has [`lines::FOLD`] contributions to a line folds them into its next change, one fresh dot. A removal made
//! elsewhere at the same time has seen the old dots and not the new one: it leaves the folded amount. That is what an add concurrent with a
//! removal always does, except that the amount is larger than that one change.
//!
//! **Absorbing.** The contributions of another cart keep their own dots, in a space of their own named by that cart's id. Fresh dots of the
//! acting replica would count a login twice that both regions handle, or that is repeated; this way a second absorb of the same cart is a
//! merge of the same events. If the regions knew different states of that cart, the result is as if they had been merged before. What was
//! removed or bought since stays away, because the space remembers which dots it has seen. An absorbed cart counts with what it showed: a
//! sum below zero in it takes nothing from the shopper's own lines. The price is some 20 bytes a login, for good.

use std::{collections::BTreeMap, num::NonZero};

use crate::{Context, LwwRegister, ReplicaId, dot_fun::DotFun};
use lines::{Contribution, Lines};

pub(crate) mod lines;
#[cfg(test)]
mod tests;

/// The id of an absorbed cart, a UUID as a rule. No two carts share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u128);

/// What was taken over from another cart, with the context it was seen in, which is never empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Absorbed {
    pub(crate) lines: Lines,
    pub(crate) context: Context,
}

/// The parts of a cart, as they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) lines: Lines,
    pub(crate) address: DotFun<String>,
    pub(crate) context: Context,
    pub(crate) note: LwwRegister<String>,
    pub(crate) absorbed: BTreeMap<SourceId, Absorbed>,
}

/// A cart. A state or a delta: every operation changes this cart and returns what others must merge to have the change too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cart {
    parts: Parts,
}

impl Cart {
    /// An empty cart.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The lines with a quantity above zero, sorted by SKU.
    #[must_use]
    pub fn lines(&self) -> Vec<(&str, i64)> {
        let mut shown: BTreeMap<&str, i64> = self.parts.lines.quantities().collect();
        for (sku, quantity) in self.parts.absorbed.values().flat_map(|absorbed| absorbed.lines.quantities()) {
            *shown.entry(sku).or_default() += quantity.max(0);
        }
        shown.into_iter().filter(|(_, quantity)| *quantity > 0).collect()
    }

    /// How many of `sku` are in the cart, never below zero.
    #[must_use]
    pub fn quantity(&self, sku: &str) -> i64 {
        let absorbed: i64 = self.parts.absorbed.values().map(|absorbed| absorbed.lines.quantity(sku).max(0)).sum();
        (self.parts.lines.quantity(sku) + absorbed).max(0)
    }

    /// The note, unless there never was one.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.parts.note.get().map(String::as_str)
    }

    /// When the note was written, in the unit of [`Self::set_note`].
    #[must_use]
    pub fn note_timestamp(&self) -> Option<u64> {
        self.parts.note.timestamp()
    }

    /// The address: sorted, and several when regions set different ones concurrently; the shopper then sets one of them.
    #[must_use]
    pub fn address(&self) -> Vec<&str> {
        self.parts.address.sorted().into_iter().map(String::as_str).collect()
    }

    /// The dots seen of the cart's own lines and address.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.parts.context
    }

    /// Sets the quantity of `sku`, in the name of `replica`, whatever is seen here; 0 removes the line.
    pub fn set(&mut self, replica: ReplicaId, sku: &str, quantity: u32) -> Self {
        let mut delta = self.remove(sku);
        if let Some(quantity) = NonZero::new(quantity) {
            let dot = self.parts.context.next_dot(replica);
            delta.parts.lines = self.parts.lines.put(sku, dot, Contribution::Set(quantity));
            self.parts.context.insert(dot);
            delta.parts.context.insert(dot);
        }
        delta
    }

    /// Changes the quantity shown of `sku` by `by`, in the name of `replica`. Down to zero or below removes the line.
    pub fn change(&mut self, replica: ReplicaId, sku: &str, by: i32) -> Self {
        let Some(by) = NonZero::new(by) else { return Self::new() };
        let shown = self.quantity(sku);
        if shown + i64::from(by.get()) <= 0 {
            return self.remove(sku);
        }
        let mut delta = if shown == 0 { self.remove(sku) } else { Self::new() };
        let dot = self.parts.context.next_dot(replica);
        let (added, folded) = self.parts.lines.change(sku, dot, by);
        self.parts.context.insert(dot);
        let named: Context = folded.into_iter().chain([dot]).collect();
        delta.parts.context.merge(&named);
        delta.parts.lines = added;
        delta
    }

    /// Removes the line of `sku`: the contributions seen here.
    pub fn remove(&mut self, sku: &str) -> Self {
        self.remove_by(|lines| lines.remove(sku).into_iter().collect())
    }

    /// Removes all lines, as after a checkout. Note and address stay.
    ///
    /// To remove just what was bought, call it on a copy of the cart as it was then, and merge the delta.
    pub fn clear(&mut self) -> Self {
        self.remove_by(|lines| std::mem::take(lines).dots().collect())
    }

    /// Writes the note at `timestamp`, in any unit that the regions share; see [`LwwRegister::set`].
    pub fn set_note(&mut self, replica: ReplicaId, timestamp: u64, text: String) -> Self {
        Self { parts: Parts { note: self.parts.note.set(replica, timestamp, text), ..Parts::default() } }
    }

    /// Writes the address in place of all that are seen here.
    pub fn set_address(&mut self, replica: ReplicaId, text: String) -> Self {
        let dot = self.parts.context.next_dot(replica);
        let context = self.parts.address.dots().chain([dot]).collect();
        self.parts.address = DotFun::one(dot, text);
        self.parts.context.insert(dot);
        Self { parts: Parts { address: self.parts.address.clone(), context, ..Parts::default() } }
    }

    /// Takes in the lines of `other`, the cart with the id `source`: quantities add up, once for each source, whoever does it and how
    /// often. What `other` itself has absorbed comes along under its own ids. Note and address stay the shopper's own.
    pub fn absorb(&mut self, source: SourceId, other: &Self) -> Self {
        let mut delta = Self { parts: Parts { absorbed: other.parts.absorbed.clone(), ..Parts::default() } };
        if !other.parts.context.is_empty() {
            let taken = Absorbed { lines: other.parts.lines.clone(), context: other.parts.context.clone() };
            delta.parts.absorbed.entry(source).or_default().join(&taken);
        }
        self.merge(&delta);
        delta
    }

    /// Joins a state or a delta into this one. Linear in the lines of both.
    pub fn merge(&mut self, other: &Self) {
        let (mine, theirs) = (&mut self.parts, &other.parts);
        mine.lines.join(&mine.context, &theirs.lines, &theirs.context);
        mine.address.join(&mine.context, &theirs.address, &theirs.context);
        mine.context.merge(&theirs.context);
        mine.note.merge(&theirs.note);
        for (source, absorbed) in &theirs.absorbed {
            mine.absorbed.entry(*source).or_default().join(absorbed);
        }
    }

    /// What a replica that has seen `peer` lacks. Merging it there has the effect of merging the whole state. The note and what was
    /// absorbed always go along whole: they are small, and `peer` says nothing of them.
    #[must_use]
    pub fn delta_since(&self, peer: &Context) -> Self {
        let Parts { lines, address, context, note, absorbed } = &self.parts;
        let known: Context = lines.dots().chain(address.dots()).filter(|dot| peer.contains(*dot)).collect();
        let (lines, address) = (lines.since(peer), address.since(peer));
        Self { parts: Parts { lines, address, context: known.missing(context), note: note.clone(), absorbed: absorbed.clone() } }
    }

    /// Removes from the own and all absorbed lines what `remove` takes out, and says which dots that were.
    fn remove_by(&mut self, mut remove: impl FnMut(&mut Lines) -> Context) -> Self {
        let mut removed = Parts { context: remove(&mut self.parts.lines), ..Parts::default() };
        for (source, absorbed) in &mut self.parts.absorbed {
            let context = remove(&mut absorbed.lines);
            if !context.is_empty() {
                removed.absorbed.insert(*source, Absorbed { lines: Lines::default(), context });
            }
        }
        Self { parts: removed }
    }
}

impl Absorbed {
    fn join(&mut self, other: &Self) {
        self.lines.join(&self.context, &other.lines, &other.context);
        self.context.merge(&other.context);
    }
}

/// For the codec: the cart as it is written.
impl Cart {
    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(crate) fn from_parts(parts: Parts) -> Self {
        Self { parts }
    }
}
