//! The elements of a set with their dots, found by hash.
//!
//! ```text
//! index   hash -> slot        slots   0 mug eu:3   1 -   2 tea eu:2 us:1        free   1
//! ```
//! An element keeps its slot for as long as it is there, so that a dot can point at it, and for a while after: what was removed is often added
//! again. Those that are kept without a dot are at most as many as the others and [`KEPT`]. A set of a few elements, as most deltas are, has no
//! index: looking at all of them is as fast, and an index would have to be allocated.

use std::{
    borrow::Borrow,
    hash::{BuildHasher as _, Hash},
    mem,
};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Dots;
use crate::Dot;

/// Up to so many slots are gone through one by one. Small in tests, so that few elements have an index.
const FEW: usize = if cfg!(test) { 2 } else { 8 };

/// See above. Small in tests, so that few elements are swept out.
const KEPT: usize = if cfg!(test) { 2 } else { 64 };

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
    /// Slots whose element has no dot.
    bare: usize,
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
        Self { slots: Vec::with_capacity(capacity), free: Vec::new(), bare: 0, index, hasher: DefaultHashBuilder::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len() - self.bare
    }

    /// What is in a slot, if it has a dot.
    pub(super) fn at(&self, slot: usize) -> Option<&Held<E>> {
        self.slots.get(slot)?.as_ref().filter(|held| !held.dots.is_empty())
    }

    /// Adds a dot to an element.
    pub(super) fn add(&mut self, slot: usize, dot: Dot) {
        self.change(slot, |dots| dots.insert(dot));
    }

    /// Takes a dot from an element.
    pub(super) fn take(&mut self, slot: usize, dot: Dot) {
        self.change(slot, |dots| dots.remove(dot));
    }

    /// Gives an element other dots; returns those it had.
    pub(super) fn replace(&mut self, slot: usize, dots: Dots) -> Dots {
        let mut replaced = dots;
        self.change(slot, |dots| mem::swap(dots, &mut replaced));
        replaced
    }

    fn change(&mut self, slot: usize, change: impl FnOnce(&mut Dots)) {
        if let Some(Some(held)) = self.slots.get_mut(slot) {
            self.bare -= usize::from(held.dots.is_empty());
            change(&mut held.dots);
            self.bare += usize::from(held.dots.is_empty());
        }
    }

    /// Clears out what has no dot, when that has become too much.
    pub(super) fn sweep(&mut self) {
        if self.bare <= self.len() + KEPT {
            return;
        }
        for slot in 0..self.slots.len() {
            let bare = self.slots[slot].take_if(|held| held.dots.is_empty());
            if let Some(held) = bare {
                self.free.push(slot);
                if let Some(index) = &mut self.index
                    && let Ok(place) = index.find_entry(held.hash, |other| *other == slot)
                {
                    place.remove();
                }
            }
        }
        self.bare = 0;
    }

    /// In no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Held<E>> {
        self.slots.iter().flatten().filter(|held| !held.dots.is_empty())
    }

    /// In no order.
    pub(super) fn into_iter(self) -> impl Iterator<Item = (E, Dots)> {
        self.slots.into_iter().flatten().filter(|held| !held.dots.is_empty()).map(|held| (held.element, held.dots))
    }

    /// The slot of an element, whether it has a dot or not, or the hash to [`Self::insert`] it with.
    pub(super) fn find<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Result<usize, u64>
    where
        E: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let is_it = |slot: usize| {
            self.slots.get(slot).and_then(Option::as_ref).is_some_and(|held| held.hash == hash && held.element.borrow() == key)
        };
        let found = match &self.index {
            Some(index) => index.find(hash, |slot| is_it(*slot)).copied(),
            None => (0..self.slots.len()).find(|slot| is_it(*slot)),
        };
        found.ok_or(hash)
    }

    /// Puts in an element that is not there; returns its slot.
    pub(super) fn insert(&mut self, hash: u64, element: E, dots: Dots) -> usize {
        self.bare += usize::from(dots.is_empty());
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
}
