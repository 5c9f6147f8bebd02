//! The observed-remove set without tombstones: an add wins over a concurrent remove.
//!
//! Each element is there because of the adds, named by dots, that no remove has observed. A dot that the context has seen and no element
//! holds has been removed, so nothing else must be kept about it. Sources: Bieniusa et al., "An optimized conflict-free replicated set",
//! 2012; as delta states: Almeida, Shoker, Baquero, "Delta state replicated data types", 2018.
//!
//! ```text
//! element with its dots:  mug  eu:3            dot to element:  eu:3 -> mug      context:  eu 1..3
//!                         tea  eu:2 us:1                        eu:2 -> tea                us 1..1
//!                                                               us:1 -> tea
//! ```
//! The second map finds what a remove is about: its delta is nothing but dots.

use std::{borrow::Borrow, hash::Hash};

use crate::{Context, Dot, ReplicaId, context::Run};

mod by_dot;
mod dots;
mod elements;
#[cfg(test)]
mod tests;

use by_dot::ByDot;
pub(crate) use dots::Dots;
use elements::{Elements, Held};

/// A set of `E` that replicas change apart and merge.
///
/// A state or a delta: they are of one type. Costs: an operation `O(1)` hashed look-ups; merging a delta of `d` changes `O(d log n)` to find
/// its dots and `O(d)` look-ups; merging two states one pass over both; going through the elements in order sorts them.
#[derive(Debug, Clone)]
pub struct OrSet<E> {
    elements: Elements<E>,
    by_dot: ByDot,
    context: Context,
}

impl<E> Default for OrSet<E> {
    fn default() -> Self {
        Self { elements: Elements::default(), by_dot: ByDot::default(), context: Context::new() }
    }
}

impl<E: Ord + Hash + Clone> OrSet<E> {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `element` in the name of `replica`. Returns the delta.
    pub fn add(&mut self, replica: ReplicaId, element: E) -> Self {
        let dot = self.context.next_dot(replica);
        let mut context = Context::new();
        let slot = match self.elements.find(&element) {
            Ok(slot) => {
                let replaced = self.elements.replace(slot, Dots::One(dot));
                self.by_dot.remove_all(replaced.as_slice());
                context = replaced.as_slice().iter().copied().collect();
                slot
            }
            Err(hash) => self.elements.insert(hash, element.clone(), Dots::One(dot)),
        };
        self.by_dot.extend(&[(dot, slot)]);
        self.context.insert(dot);
        context.insert(dot);
        Self::of([(element, Dots::One(dot))], context)
    }

    /// Removes `element`: the adds of it that were seen here. Returns the delta, which is empty when the element is not there.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, element: &Q) -> Self
    where
        E: Borrow<Q>,
    {
        let removed = self.elements.find(element).map_or_else(|_| Dots::none(), |slot| self.elements.replace(slot, Dots::none()));
        self.elements.sweep();
        self.by_dot.remove_all(removed.as_slice());
        Self { context: removed.as_slice().iter().copied().collect(), ..Self::default() }
    }

    /// Whether `element` is in the set.
    pub fn contains<Q: Hash + Eq + ?Sized>(&self, element: &Q) -> bool
    where
        E: Borrow<Q>,
    {
        self.elements.find(element).is_ok_and(|slot| self.elements.at(slot).is_some())
    }

    /// The elements in order, which are sorted for it.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.entries().into_iter().map(|(element, _)| element)
    }

    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.elements.len()
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

    /// Joins a state or a delta into this one. It is taken by value, because its elements move over. What came as bytes is joined faster
    /// by `merge_bytes`.
    pub fn merge(&mut self, other: Self) {
        if self.context.is_empty() {
            *self = other;
            return;
        }
        let Self { elements, by_dot, context } = other;
        let runs = context.runs();
        let holds = |run: usize, counter| by_dot.contains(Dot::in_run(runs[run].replica, counter));
        self.join::<E, _, _>(&context, holds, elements.into_iter(), |element| element);
    }

    /// What a replica that has seen `peer` lacks: elements, and the news that others are gone. Merging it there has the effect of merging
    /// the whole state. One pass over the set.
    ///
    /// A context does not tell which removals were seen, so the delta names all dots that are gone; as runs, they are small.
    #[must_use]
    pub fn delta_since(&self, peer: &Context) -> Self {
        let mut known = Context::new();
        for (dot, _) in self.by_dot.iter().filter(|(dot, _)| peer.contains(*dot)) {
            known.append(Run::of(dot));
        }
        let unseen = self.elements.iter().filter_map(|held| {
            let dots: Vec<Dot> = held.dots.as_slice().iter().copied().filter(|dot| !peer.contains(*dot)).collect();
            (!dots.is_empty()).then(|| (held.element.clone(), Dots::from(&dots[..])))
        });
        Self::of(unseen, known.missing(&self.context))
    }

    /// The set of these elements, no element and no dot twice.
    pub(crate) fn of(entries: impl IntoIterator<Item = (E, Dots)>, context: Context) -> Self {
        let entries = entries.into_iter();
        let mut elements = Elements::with_capacity(entries.size_hint().0);
        let mut by_dot = ByDot::default();
        let mut dots = Vec::with_capacity(entries.size_hint().0);
        for (element, of_element) in entries {
            if let Err(hash) = elements.find(&element) {
                let first = dots.len();
                dots.extend(of_element.as_slice().iter().map(|dot| (*dot, 0)));
                let slot = elements.insert(hash, element, of_element);
                dots[first..].iter_mut().for_each(|(_, place)| *place = slot);
            }
        }
        dots.sort_unstable_by_key(|(dot, _)| *dot);
        by_dot.extend(&dots);
        Self { elements, by_dot, context }
    }

    /// Joins a set that has seen `seen`, and of it `holds` (run of `seen`, counter) the dots of `entries`: what both have stays, and what one
    /// has and the other has not seen.
    pub(crate) fn join<Q, K, D>(
        &mut self,
        seen: &Context,
        holds: impl Fn(usize, u64) -> bool,
        entries: impl Iterator<Item = (K, D)>,
        element_of: impl Fn(K) -> E,
    ) where
        E: Borrow<Q>,
        K: Borrow<Q>,
        D: AsRef<[Dot]>,
        Q: Hash + Eq + ?Sized,
    {
        // An element that loses its dots here and gets new ones below keeps its slot.
        self.by_dot.remove(seen.runs(), holds, |dot, slot| self.elements.take(slot, dot));
        let mut fresh = Vec::with_capacity(entries.size_hint().0);
        for (key, dots) in entries {
            let first = fresh.len();
            fresh.extend(dots.as_ref().iter().filter(|dot| !self.context.contains(**dot)).map(|dot| (*dot, 0)));
            if fresh.len() == first {
                continue;
            }
            let name: &Q = key.borrow();
            let slot = self.elements.find(name).unwrap_or_else(|hash| self.elements.insert(hash, element_of(key), Dots::none()));
            for (dot, place) in &mut fresh[first..] {
                *place = slot;
                self.elements.add(slot, *dot);
            }
        }
        self.elements.sweep();
        // Those of one replica need no order.
        if fresh.windows(2).any(|pair| pair[0].0.replica() != pair[1].0.replica()) {
            fresh.sort_unstable_by_key(|(dot, _)| *dot);
        }
        self.by_dot.extend(&fresh);
        self.context.merge(seen);
    }

    /// The elements in order, with their dots.
    pub(crate) fn entries(&self) -> Vec<(&E, &[Dot])> {
        let mut entries: Vec<_> = self.elements.iter().map(|held| (&held.element, held.dots.as_slice())).collect();
        entries.sort_unstable_by_key(|(element, _)| *element);
        entries
    }
}

/// The same elements by the same adds, and the same seen.
impl<E: Hash + Eq> PartialEq for OrSet<E> {
    fn eq(&self, other: &Self) -> bool {
        let of_other = |element: &E| other.elements.find(element).ok().and_then(|slot| other.elements.at(slot));
        let is_in_other = |held: &Held<E>| of_other(&held.element).is_some_and(|theirs| theirs.dots == held.dots);
        self.context == other.context && self.elements.len() == other.elements.len() && self.elements.iter().all(is_in_other)
    }
}

impl<E: Hash + Eq> Eq for OrSet<E> {}
