//! The observed-remove set without tombstones: an add wins over a concurrent remove.
//!
//! Each element is there because of the adds, named by dots, that no remove has observed. A dot that the context has seen and no element
//! holds has been removed, so nothing else must be kept about it. Sources: Bieniusa et al., "An optimized conflict-free replicated set",
//! 2012; as delta states: Almeida, Shoker, Baquero, "Delta state replicated data types", 2018.
//!
//! ```text
//! by element:  mug -> eu:3        by dot:  eu:3 -> mug      context:  eu 1..3
//!              tea -> eu:2 us:1            eu:2 -> tea                us 1..1
//!                                          us:1 -> tea
//! ```
//! The second order finds what a remove is about: its delta is nothing but dots.

use std::{borrow::Borrow, mem};

use crate::{Context, Dot, ReplicaId, blocks::Blocks};

mod dots;
#[cfg(test)]
mod tests;

pub(crate) use dots::Dots;

/// A join by single changes pays when the entries are so many times the changes; below, all entries are gone through in order.
const FEW: usize = 8;

/// A set of `E` that replicas change apart and merge. An element is kept twice, so `E` should be cheap to clone: a number, an `Arc<str>`.
///
/// A state or a delta: they are of one type. Costs: an operation `O(log n)`; merging a delta of `d` changes `O(d log n)`; merging two
/// states one pass over both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrSet<E: Ord> {
    by_element: Blocks<E, Dots>,
    by_dot: Blocks<Dot, E>,
    context: Context,
}

impl<E: Ord> Default for OrSet<E> {
    fn default() -> Self {
        Self { by_element: Blocks::default(), by_dot: Blocks::default(), context: Context::new() }
    }
}

impl<E: Ord + Clone> OrSet<E> {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `element` in the name of `replica`. Returns the delta.
    pub fn add(&mut self, replica: ReplicaId, element: E) -> Self {
        let dot = self.context.next_dot(replica);
        let replaced = self.by_element.insert(element.clone(), Dots::One(dot));
        let replaced = replaced.as_ref().map_or(&[][..], Dots::as_slice);
        for old in replaced {
            self.by_dot.remove(old);
        }
        self.by_dot.insert(dot, element.clone());
        self.context.insert(dot);
        let mut delta = Self { context: replaced.iter().copied().chain([dot]).collect(), ..Self::default() };
        delta.by_element.push(element.clone(), Dots::One(dot));
        delta.by_dot.push(dot, element);
        delta
    }

    /// Removes `element`: the adds of it that were seen here. Returns the delta, which is empty when the element is not there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, element: &Q) -> Self
    where
        E: Borrow<Q>,
    {
        let removed = self.by_element.remove(element);
        let removed = removed.as_ref().map_or(&[][..], Dots::as_slice);
        for dot in removed {
            self.by_dot.remove(dot);
        }
        Self { context: removed.iter().copied().collect(), ..Self::default() }
    }

    /// Whether `element` is in the set.
    pub fn contains<Q: Ord + ?Sized>(&self, element: &Q) -> bool
    where
        E: Borrow<Q>,
    {
        self.by_element.get(element).is_some()
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.by_element.iter().map(|(element, _)| element)
    }

    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_element.len()
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The adds seen, whether their elements are still there or not.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Joins a state or a delta into this one. It is taken by value, because its elements move over.
    pub fn merge(&mut self, other: Self) {
        if self.context.is_empty() {
            *self = other;
            return;
        }
        let gone = self.removed_by(&other);
        let fresh = other.by_dot.iter().filter(|(dot, _)| !self.context.contains(**dot)).count();
        let is_small = (gone.len() + fresh) * FEW < self.by_dot.len();
        let context = if is_small { self.patch(&gone, other) } else { self.rebuild(&gone, other) };
        self.context.merge(&context);
    }

    /// What a replica that has seen `peer` lacks: elements, and the news that others are gone. Merging it there has the effect of merging
    /// the whole state. One pass over the set.
    ///
    /// A context does not tell which removals were seen, so the delta names all dots that are gone; as runs, they are small.
    #[must_use]
    pub fn delta_since(&self, peer: &Context) -> Self {
        let mut known = Context::new();
        let mut by_dot = Blocks::default();
        for (dot, element) in self.by_dot.iter() {
            if peer.contains(*dot) {
                known.insert(*dot);
            } else {
                by_dot.push(*dot, element.clone());
            }
        }
        let unseen = |(element, dots): (&E, &Dots)| dots.clone().unseen(peer).map(|dots| (element.clone(), dots));
        let by_element = self.by_element.iter().filter_map(unseen).collect();
        Self { by_element, by_dot, context: known.missing(&self.context) }
    }

    /// The dots here that `other` has seen and does not hold, sorted.
    fn removed_by(&self, other: &Self) -> Vec<Dot> {
        let mut gone = Vec::new();
        let mut held = other.by_dot.iter().map(|(dot, _)| *dot).peekable();
        for run in other.context.runs() {
            let covered = self.by_dot.starting(|dot| *dot < run.first_dot()).map(|(dot, _)| *dot);
            for dot in covered.take_while(|dot| *dot <= run.last_dot()) {
                while held.next_if(|theirs| *theirs < dot).is_some() {}
                if held.peek() != Some(&dot) {
                    gone.push(dot);
                }
            }
        }
        gone
    }

    /// Joins `other` by the changes it makes; returns its context.
    fn patch(&mut self, gone: &[Dot], other: Self) -> Context {
        for dot in gone {
            if let Some(element) = self.by_dot.remove(dot) {
                let left = self.by_element.get_mut(&element).and_then(|dots| dots.without(*dot));
                match left {
                    Some(left) => drop(self.by_element.insert(element, left)),
                    None => drop(self.by_element.remove(&element)),
                }
            }
        }
        for (dot, element) in other.by_dot {
            if self.context.contains(dot) {
                continue;
            }
            match self.by_element.get_mut(&element) {
                Some(dots) => dots.insert(dot),
                None => drop(self.by_element.insert(element.clone(), Dots::One(dot))),
            }
            self.by_dot.insert(dot, element);
        }
        other.context
    }

    /// Joins `other` by going through all entries of both; returns its context.
    fn rebuild(&mut self, gone: &[Dot], mut other: Self) -> Context {
        let (seen, their_seen) = (&self.context, &other.context);
        self.by_element = mem::take(&mut self.by_element).join(other.by_element, |mine, theirs| match (mine, theirs) {
            (Some(mine), Some(theirs)) => mine.join(seen, &theirs, their_seen),
            (Some(mine), None) => mine.unseen(their_seen),
            (None, theirs) => theirs?.unseen(seen),
        });
        let mut gone = gone.iter().peekable();
        if gone.peek().is_some() {
            self.by_dot.retain(|dot| gone.next_if_eq(&dot).is_none());
        }
        other.by_dot.retain(|dot| !seen.contains(*dot));
        self.by_dot = mem::take(&mut self.by_dot).union(other.by_dot);
        other.context
    }
}

/// For the codec: the set as it is written.
impl<E: Ord + Clone> OrSet<E> {
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&E, &[Dot])> {
        self.by_element.iter().map(|(element, dots)| (element, dots.as_slice()))
    }

    /// The set of these elements, sorted; `None` when two of them share a dot.
    pub(crate) fn from_entries(entries: Vec<(E, Dots)>, context: Context) -> Option<Self> {
        let mut dots: Vec<(Dot, E)> = Vec::with_capacity(entries.len());
        for (element, of_element) in &entries {
            dots.extend(of_element.as_slice().iter().map(|dot| (*dot, element.clone())));
        }
        dots.sort_unstable_by_key(|(dot, _)| *dot);
        let is_unique = dots.windows(2).all(|pair| pair[0].0 != pair[1].0);
        is_unique.then(|| Self { by_element: entries.into_iter().collect(), by_dot: dots.into_iter().collect(), context })
    }
}
