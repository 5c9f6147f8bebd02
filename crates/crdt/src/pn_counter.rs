//! The positive-negative counter: every increment and decrement counts once. Source: Shapiro et al., "A comprehensive study of convergent
//! and commutative replicated data types", 2011, 3.1.3.

use std::collections::BTreeMap;

use crate::ReplicaId;

#[cfg(test)]
mod tests;

/// A sum does not fit its integer. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the counter does not fit 64 bits")]
pub struct Overflow;

/// What one replica has added and taken away, in total. Both only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) plus: u64,
    pub(crate) minus: u64,
}

/// A counter that replicas change apart and merge. A state or a delta: a delta holds the totals of the replica that acted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PnCounter {
    totals: BTreeMap<ReplicaId, Totals>,
}

impl PnCounter {
    /// A counter at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `by`, which may be negative, in the name of `replica`. Returns the delta, which is empty for 0.
    ///
    /// # Errors
    /// [`Overflow`] when the replica's total of either sign passes 64 bits.
    pub fn add(&mut self, replica: ReplicaId, by: i64) -> Result<Self, Overflow> {
        if by == 0 {
            return Ok(Self::new());
        }
        let mut totals = self.totals.get(&replica).copied().unwrap_or_default();
        let total = if by > 0 { &mut totals.plus } else { &mut totals.minus };
        *total = total.checked_add(by.unsigned_abs()).ok_or(Overflow)?;
        self.totals.insert(replica, totals);
        Ok(Self { totals: BTreeMap::from([(replica, totals)]) })
    }

    /// The sum of all replicas.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    pub fn value(&self) -> Result<i64, Overflow> {
        let sum: i128 = self.totals.values().map(|totals| i128::from(totals.plus) - i128::from(totals.minus)).sum();
        i64::try_from(sum).map_err(|_| Overflow)
    }

    /// Joins a state or a delta into this one: the higher totals of each replica.
    pub fn merge(&mut self, other: &Self) {
        for (replica, theirs) in &other.totals {
            let mine = self.totals.entry(*replica).or_default();
            *mine = Totals { plus: mine.plus.max(theirs.plus), minus: mine.minus.max(theirs.minus) };
        }
    }

    /// What `peer` lacks: the replicas of which it knows less.
    #[must_use]
    pub fn delta_since(&self, peer: &Self) -> Self {
        let known = |replica| peer.totals.get(replica).copied().unwrap_or_default();
        let lacks = |mine: &Totals, theirs: Totals| mine.plus > theirs.plus || mine.minus > theirs.minus;
        let missing = self.totals.iter().filter(|(replica, mine)| lacks(mine, known(replica)));
        Self { totals: missing.map(|(replica, totals)| (*replica, *totals)).collect() }
    }
}

/// For the codec: the counter as it is written.
impl PnCounter {
    pub(crate) fn totals(&self) -> &BTreeMap<ReplicaId, Totals> {
        &self.totals
    }

    /// A counter of totals of which none is zero twice.
    pub(crate) fn from_totals(totals: BTreeMap<ReplicaId, Totals>) -> Self {
        Self { totals }
    }
}
