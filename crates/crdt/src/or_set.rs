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
//! The second map finds what a remove is about: its delta is nothing but dots. A set that is only sent or merged into another one has none.

use crate::{Context, Dot, ReplicaId, codec::Element};

mod by_dot;
mod dots;
mod elements;
mod name;
mod news;
#[cfg(test)]
mod tests;

use by_dot::ByDot;
pub(crate) use dots::Dots;
pub(crate) use elements::Slot;
use elements::{Elements, Held};
pub use name::Name;
pub(crate) use news::News;

/// A set of `E` that replicas change apart and merge.
///
/// A state or a delta: they are of one type. Costs: an operation `O(1)` hashed look-ups; merging a delta of `d` changes `O(d log n)` to find
/// its dots and `O(d)` look-ups; merging two states one pass over both; going through the elements in order sorts them.
#[derive(Debug, Clone)]
pub struct OrSet<E> {
    elements: Elements<E>,
    /// Built when something is taken in for the first time.
    by_dot: Option<ByDot>,
    context: Context,
}

impl<E> Default for OrSet<E> {
    fn default() -> Self {
        Self { elements: Elements::default(), by_dot: None, context: Context::new() }
    }
}

impl<E: Element> OrSet<E> {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `element` in the name of `replica`. Returns the delta.
    pub fn add(&mut self, replica: ReplicaId, element: E) -> Self {
        let by_dot = self.by_dot.get_or_insert_with(|| ByDot::of(self.elements.dots()));
        let dot = self.context.next_dot(replica);
        let mut context = Context::new();
        let name = E::name(element.key());
        let slot = match self.elements.find(name, Some(element.key())) {
            Ok(slot) => {
                let replaced = self.elements.replace(slot, Dots::One(dot));
                by_dot.remove_all(replaced.as_slice());
                context = replaced.as_slice().iter().copied().collect();
                slot
            }
            Err(hash) => self.elements.insert(hash, name, element.clone(), Dots::One(dot)),
        };
        by_dot.extend(&[(dot, slot)]);
        self.context.insert(dot);
        context.insert(dot);
        Self::of([(element, Dots::One(dot))], context)
    }

    /// Removes `element`: the adds of it that were seen here. Returns the delta, which is empty when the element is not there.
    pub fn remove(&mut self, element: &E::Key) -> Self {
        let removed = self
            .elements
            .find(E::name(element), Some(element))
            .map_or_else(|_| Dots::none(), |slot| self.elements.replace(slot, Dots::none()));
        self.elements.sweep();
        if let Some(by_dot) = &mut self.by_dot {
            by_dot.remove_all(removed.as_slice());
        }
        Self { context: removed.as_slice().iter().copied().collect(), ..Self::default() }
    }

    /// Whether `element` is in the set.
    pub fn contains(&self, element: &E::Key) -> bool {
        self.elements.find(E::name(element), Some(element)).is_ok_and(|slot| self.elements.at(slot).is_some())
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
        let Self { elements, context, .. } = other;
        // Its dots that this one has seen, and those that are new here.
        let (mut seen, mut added) = (Vec::new(), Vec::with_capacity(elements.len()));
        for Held { element, name, dots } in elements.into_iter() {
            let first = added.len();
            for dot in dots.as_slice() {
                if self.context.contains(*dot) {
                    seen.push(*dot);
                } else {
                    added.push((*dot, 0));
                }
            }
            if added.len() > first {
                let found = self.elements.find(name, Some(element.key()));
                let slot = found.unwrap_or_else(|hash| self.elements.insert(hash, name, element, Dots::none()));
                added[first..].iter_mut().for_each(|(_, of_dot)| *of_dot = slot);
            }
        }
        seen.sort_unstable();
        self.join(&context, |dot, _| seen.binary_search(&dot).is_ok(), added);
        self.context.merge(&context);
    }

    /// What a replica that has seen `peer` lacks: elements, and the news that others are gone. Merging it there has the effect of merging
    /// the whole state. It takes one pass over the set and a sort of its dots.
    ///
    /// A context does not tell which removals were seen, so the delta names all dots that are gone; as runs, they are small.
    #[must_use]
    pub fn delta_since(&self, peer: &Context) -> Self {
        let mut known: Vec<Dot> = self.elements.dots().map(|(dot, _)| dot).filter(|dot| peer.contains(*dot)).collect();
        known.sort_unstable();
        let unseen = self.elements.iter().filter_map(|held| {
            let dots: Vec<Dot> = held.dots.as_slice().iter().copied().filter(|dot| !peer.contains(*dot)).collect();
            (!dots.is_empty()).then(|| (held.element.clone(), Dots::from(&dots[..])))
        });
        Self::of(unseen, known.into_iter().collect::<Context>().missing(&self.context))
    }

    /// The set of these elements, no element and no dot twice.
    pub(crate) fn of(entries: impl IntoIterator<Item = (E, Dots)>, context: Context) -> Self {
        let entries = entries.into_iter();
        let mut elements = Elements::with_capacity(entries.size_hint().0);
        for (element, dots) in entries {
            let name = E::name(element.key());
            if let Err(hash) = elements.find(name, Some(element.key())) {
                elements.insert(hash, name, element, dots);
            }
        }
        Self { elements, by_dot: None, context }
    }

    /// Joins a set that has seen `seen`, and of it `holds` (dot, its number among those seen) its elements' dots: what both have stays, and
    /// what one has and the other has not seen. The latter of the other set's dots are `added`. The context is yet to be merged.
    fn join(&mut self, seen: &Context, holds: impl Fn(Dot, u64) -> bool, mut added: Vec<(Dot, Slot)>) {
        // An element that loses its dots here and gets new ones below keeps its slot.
        let by_dot = self.by_dot.get_or_insert_with(|| ByDot::of(self.elements.dots()));
        by_dot.remove(seen.runs(), holds, |dot, slot| self.elements.take(slot, dot));
        added.iter().for_each(|(dot, slot)| self.elements.add(*slot, *dot));
        self.elements.sweep();
        // Those of one replica need no order.
        if added.iter().any(|(dot, _)| dot.replica() != added[0].0.replica()) {
            added.sort_unstable_by_key(|(dot, _)| *dot);
        }
        by_dot.extend(&added);
    }

    /// The elements in order, with their dots.
    pub(crate) fn entries(&self) -> Vec<(&E, &[Dot])> {
        let mut entries: Vec<&Held<E>> = self.elements.iter().collect();
        entries.sort_unstable_by(|one, other| one.name.cmp(&other.name).then_with(|| one.element.cmp(&other.element)));
        entries.into_iter().map(|held| (&held.element, held.dots.as_slice())).collect()
    }
}

/// The same elements by the same adds, and the same seen.
impl<E: Element> PartialEq for OrSet<E> {
    fn eq(&self, other: &Self) -> bool {
        let of_other =
            |held: &Held<E>| other.elements.find(held.name, Some(held.element.key())).ok().and_then(|slot| other.elements.at(slot));
        let is_in_other = |held: &Held<E>| of_other(held).is_some_and(|theirs| theirs.dots == held.dots);
        self.context == other.context && self.elements.len() == other.elements.len() && self.elements.iter().all(is_in_other)
    }
}

impl<E: Element> Eq for OrSet<E> {}
