//! Values under their dots: the store below registers, lines and addresses (Almeida et al., 2018: `DotFun`).
//!
//! It has no context of its own: several stores share the one of the object they are part of, and what is in none of them although its dot
//! is in the context has been removed.

use crate::{Context, Dot};

/// A small map from dot to value, sorted by dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DotFun<V> {
    entries: Vec<(Dot, V)>,
}

impl<V> Default for DotFun<V> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<V: Clone> DotFun<V> {
    pub(crate) fn one(dot: Dot, value: V) -> Self {
        Self { entries: vec![(dot, value)] }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Dot, &V)> {
        self.entries.iter().map(|(dot, value)| (*dot, value))
    }

    pub(crate) fn dots(&self) -> impl Iterator<Item = Dot> {
        self.entries.iter().map(|(dot, _)| *dot)
    }

    /// The values, sorted, each once.
    pub(crate) fn sorted(&self) -> Vec<&V>
    where
        V: Ord,
    {
        let mut values: Vec<&V> = self.entries.iter().map(|(_, value)| value).collect();
        values.sort_unstable();
        values.dedup();
        values
    }

    pub(crate) fn insert(&mut self, dot: Dot, value: V) {
        let index = self.entries.partition_point(|(held, _)| *held < dot);
        self.entries.insert(index, (dot, value));
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(Dot) -> bool) {
        self.entries.retain(|(dot, _)| keep(*dot));
    }

    /// The entries that `peer` has not seen.
    pub(crate) fn since(&self, peer: &Context) -> Self {
        Self { entries: self.entries.iter().filter(|(dot, _)| !peer.contains(*dot)).cloned().collect() }
    }

    /// Joins `other`, whose object has seen `other_seen`, into this, whose object has seen `seen`: what both have stays, and what one has
    /// and the other has not seen. The contexts are joined by the caller, after all stores.
    pub(crate) fn join(&mut self, seen: &Context, other: &Self, other_seen: &Context) {
        self.retain(|dot| !other_seen.contains(dot) || other.has(dot));
        for (dot, value) in other.since(seen).entries {
            self.insert(dot, value);
        }
    }

    fn has(&self, dot: Dot) -> bool {
        self.entries.binary_search_by_key(&dot, |(held, _)| *held).is_ok()
    }
}

/// Entries sorted by dot, no dot twice.
impl<V> FromIterator<(Dot, V)> for DotFun<V> {
    fn from_iter<T: IntoIterator<Item = (Dot, V)>>(entries: T) -> Self {
        Self { entries: entries.into_iter().collect() }
    }
}
