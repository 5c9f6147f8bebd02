//! The lines of a cart: an observed-remove map from SKU to a counter embedded in it.
//!
//! A line is a map from dot to a signed contribution; its quantity is their sum (Baquero, Almeida, Lerche, "The problem with embedded CRDT
//! counters and a solution", 2016). Removing a line removes the contributions seen; one made meanwhile elsewhere survives with its own
//! amount, and nothing that was removed comes back with it.

use std::collections::{BTreeMap, btree_map::Entry};

use crate::{Context, Dot, dot_fun::DotFun};

/// A replica with so many contributions to one line folds them into its next one.
pub(crate) const FOLD: usize = 16;

/// Contributions by SKU and dot. None is zero and no line is empty. The context is the owner's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    lines: BTreeMap<String, DotFun<i32>>,
}

impl Lines {
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &DotFun<i32>)> {
        self.lines.iter().map(|(sku, line)| (sku.as_str(), line))
    }

    /// The sum of each line, whatever its sign.
    pub(super) fn sums(&self) -> impl Iterator<Item = (&str, i64)> {
        self.iter().map(|(sku, line)| (sku, sum(line)))
    }

    /// The sum of one line.
    pub(super) fn sum(&self, sku: &str) -> i64 {
        self.lines.get(sku).map_or(0, sum)
    }

    pub(crate) fn dots(&self) -> impl Iterator<Item = Dot> {
        self.lines.values().flat_map(DotFun::dots)
    }

    /// Adds `by`, which is not 0, to a line under `dot`. Returns the contribution as a map of its own, and the dots that it replaces: all
    /// of this replica when there are [`FOLD`] of them and their sum fits.
    pub(super) fn add(&mut self, sku: &str, dot: Dot, by: i32) -> (Self, Vec<Dot>) {
        let line = self.lines.entry(sku.to_owned()).or_default();
        let (folded, amount) = folded(line, dot, by).unwrap_or((Vec::new(), by));
        line.retain(|held| !folded.contains(&held));
        let mut added = Self::default();
        if amount != 0 {
            line.insert(dot, amount);
            added.lines.insert(sku.to_owned(), DotFun::one(dot, amount));
        }
        if line.is_empty() {
            self.lines.remove(sku);
        }
        (added, folded)
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
impl FromIterator<(String, DotFun<i32>)> for Lines {
    fn from_iter<T: IntoIterator<Item = (String, DotFun<i32>)>>(lines: T) -> Self {
        Self { lines: lines.into_iter().collect() }
    }
}

fn sum(line: &DotFun<i32>) -> i64 {
    line.iter().map(|(_, amount)| i64::from(*amount)).sum()
}

/// The dots to fold into `dot` and the amount it then has, `by` included. `None` as long as there are few, or when the sum does not fit.
fn folded(line: &DotFun<i32>, dot: Dot, by: i32) -> Option<(Vec<Dot>, i32)> {
    let own = || line.iter().filter(|(held, _)| held.replica() == dot.replica());
    if own().count() < FOLD {
        return None;
    }
    let amount = own().try_fold(by, |sum, (_, amount)| sum.checked_add(*amount))?;
    Some((own().map(|(held, _)| held).collect(), amount))
}
