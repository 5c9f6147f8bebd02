//! The elements of a set with their dots, found by hash.
//!
//! ```text
//! index   hash -> slot        slots   0 mug eu:3   1 -   2 tea eu:2 us:1        free   1
//! ```
//! An element keeps its slot for as long as it is there, so that a dot can point at it. A set of a few elements, as most deltas are, has no
//! index: looking at all of them is as fast, and an index would have to be allocated.

use std::{borrow::Borrow, hash::BuildHasher as _, hash::Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Dots;

/// Up to so many slots are gone through one by one. Small in tests, so that few elements have an index.
const FEW: usize = if cfg!(test) { 2 } else { 8 };

#[derive(Debug, Clone)]
pub(super) struct Held<E> {
    pub(super) element: E,
    pub(super) dots: Dots,
    hash: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Elements<E> {
    slots: Vec<Option<Held<E>>>,
    free: Vec<usize>,
    index: Option<HashTable<usize>>,
    hasher: DefaultHashBuilder,
}

impl<E> Default for Elements<E> {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl<E> Elements<E> {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let index = (capacity > FEW).then(|| HashTable::with_capacity(capacity));
        Self { slots: Vec::with_capacity(capacity), free: Vec::new(), index, hasher: DefaultHashBuilder::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// What is in a slot.
    pub(super) fn at(&self, slot: usize) -> Option<&Held<E>> {
        self.slots.get(slot)?.as_ref()
    }

    pub(super) fn dots_at(&mut self, slot: usize) -> Option<&mut Dots> {
        Some(&mut self.slots.get_mut(slot)?.as_mut()?.dots)
    }

    /// In no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Held<E>> {
        self.slots.iter().flatten()
    }

    /// In no order.
    pub(super) fn into_iter(self) -> impl Iterator<Item = (E, Dots)> {
        self.slots.into_iter().flatten().map(|held| (held.element, held.dots))
    }

    /// The slot of an element, or the hash to [`Self::insert`] it with.
    pub(super) fn find<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Result<usize, u64>
    where
        E: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let is_it = |slot: usize| self.at(slot).is_some_and(|held| held.hash == hash && held.element.borrow() == key);
        let found = match &self.index {
            Some(index) => index.find(hash, |slot| is_it(*slot)).copied(),
            None => (0..self.slots.len()).find(|slot| is_it(*slot)),
        };
        found.ok_or(hash)
    }

    /// Puts in an element that is not there; returns its slot.
    pub(super) fn insert(&mut self, hash: u64, element: E, dots: Dots) -> usize {
        let held = Some(Held { element, dots, hash });
        let slot = self.free.pop().unwrap_or(self.slots.len());
        match self.slots.get_mut(slot) {
            Some(place) => *place = held,
            None => self.slots.push(held),
        }
        let slots = &self.slots;
        let hash_of = |slot: &usize| slots.get(*slot).and_then(Option::as_ref).map_or(0, |held| held.hash);
        if let Some(index) = &mut self.index {
            index.insert_unique(hash, slot, hash_of);
        } else if slots.len() > FEW {
            let mut index = HashTable::with_capacity(2 * slots.len());
            for slot in (0..slots.len()).filter(|slot| slots[*slot].is_some()) {
                index.insert_unique(hash_of(&slot), slot, hash_of);
            }
            self.index = Some(index);
        }
        slot
    }

    /// Takes out what is in a slot.
    pub(super) fn remove(&mut self, slot: usize) -> Option<Held<E>> {
        let held = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        if let Some(index) = &mut self.index
            && let Ok(place) = index.find_entry(held.hash, |other| *other == slot)
        {
            place.remove();
        }
        Some(held)
    }
}
