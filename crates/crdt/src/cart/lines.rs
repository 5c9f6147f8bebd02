//! The lines of a cart: an observed-remove map from SKU to a counter embedded in it.
//!
//! A line is a map from dot to contribution; its quantity is the largest that was set plus the sum of all changes (Baquero, Almeida, Lerche,
//! "The problem with embedded CRDT counters and a solution", 2016). Setting a line replaces the contributions seen, so there are several sets
//! only when they were concurrent: the same one done in both regions counts once, and of different ones the shopper who wanted more gets it.
//! Removing a line removes the contributions seen; one made meanwhile elsewhere survives with its own amount, and nothing that was removed
//! comes back with it.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    num::NonZero,
};

use crate::{Context, Dot, dot_fun::DotFun};

/// A replica with so many contributions to one line folds them into its next one.
pub(crate) const FOLD: usize = 16;

/// What one event says of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contribution {
    /// So many, whatever was seen before.
    Set(NonZero<u32>),
    /// So many more or less than else.
    Change(NonZero<i32>),
}

/// Contributions to one line by dot.
pub(crate) type Line = DotFun<Contribution>;

/// Contributions by SKU and dot. No line is empty. The context is the owner's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    lines: BTreeMap<String, Line>,
}

impl Lines {
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Line)> {
        self.lines.iter().map(|(sku, line)| (sku.as_str(), line))
    }

    /// The quantity of each line, whatever its sign.
    pub(super) fn quantities(&self) -> impl Iterator<Item = (&str, i64)> {
        self.iter().map(|(sku, line)| (sku, quantity(line)))
    }

    /// The quantity of one line.
    pub(super) fn quantity(&self, sku: &str) -> i64 {
        self.lines.get(sku).map_or(0, quantity)
    }

    pub(crate) fn dots(&self) -> impl Iterator<Item = Dot> {
        self.lines.values().flat_map(DotFun::dots)
    }

    /// Adds a change of `by` to a line under `dot`. Returns the contribution as a map of its own, and the dots that it replaces: all changes of
    /// this replica when there are [`FOLD`] of them and their sum fits.
    pub(super) fn change(&mut self, sku: &str, dot: Dot, by: NonZero<i32>) -> (Self, Vec<Dot>) {
        let line = self.lines.entry(sku.to_owned()).or_default();
        let (folded, amount) = folded(line, dot, by).unwrap_or_else(|| (Vec::new(), by.get()));
        line.retain(|held| !folded.contains(&held));
        if line.is_empty() {
            self.lines.remove(sku);
        }
        let added = NonZero::new(amount).map(|amount| self.put(sku, dot, Contribution::Change(amount)));
        (added.unwrap_or_default(), folded)
    }

    /// Puts a contribution to a line under `dot`, and returns it as a map of its own.
    pub(super) fn put(&mut self, sku: &str, dot: Dot, contribution: Contribution) -> Self {
        self.lines.entry(sku.to_owned()).or_default().insert(dot, contribution);
        Self { lines: BTreeMap::from([(sku.to_owned(), DotFun::one(dot, contribution))]) }
    }

    /// Removes a line; returns the dots of its contributions.
    pub(super) fn remove(&mut self, sku: &str) -> Vec<Dot> {
        self.lines.remove(sku).map_or_else(Vec::new, |line| line.dots().collect())
    }

    /// The contributions that `peer` has not seen.
    pub(super) fn since(&self, peer: &Context) -> Self {
        let unseen = self.lines.iter().map(|(sku, line)| (sku.clone(), line.since(peer)));
        Self { lines: unseen.filter(|(_, line)| !line.is_empty()).collect() }
    }

    /// As [`DotFun::join`], line by line.
    pub(super) fn join(&mut self, seen: &Context, other: &Self, other_seen: &Context) {
        let nothing = DotFun::default();
        for (sku, line) in &mut self.lines {
            line.join(seen, other.lines.get(sku).unwrap_or(&nothing), other_seen);
        }
        for (sku, line) in &other.lines {
            if let Entry::Vacant(place) = self.lines.entry(sku.clone()) {
                place.insert(line.since(seen));
            }
        }
        self.lines.retain(|_, line| !line.is_empty());
    }
}

/// Lines of which none is empty.
impl FromIterator<(String, Line)> for Lines {
    fn from_iter<T: IntoIterator<Item = (String, Line)>>(lines: T) -> Self {
        Self { lines: lines.into_iter().collect() }
    }
}

fn quantity(line: &Line) -> i64 {
    let (mut set, mut changed) = (0, 0);
    for (_, contribution) in line.iter() {
        match contribution {
            Contribution::Set(quantity) => set = set.max(i64::from(quantity.get())),
            Contribution::Change(by) => changed += i64::from(by.get()),
        }
    }
    set + changed
}

/// The dots to fold into `dot` and the amount it then has, `by` included. `None` as long as there are few, or when the sum does not fit.
fn folded(line: &Line, dot: Dot, by: NonZero<i32>) -> Option<(Vec<Dot>, i32)> {
    let own = || {
        line.iter().filter(|(held, _)| held.replica() == dot.replica()).filter_map(|(held, contribution)| match contribution {
            Contribution::Set(_) => None,
            Contribution::Change(by) => Some((held, by.get())),
        })
    };
    if own().count() < FOLD {
        return None;
    }
    let amount = own().try_fold(by.get(), |sum, (_, by)| sum.checked_add(by))?;
    Some((own().map(|(held, _)| held).collect(), amount))
}
