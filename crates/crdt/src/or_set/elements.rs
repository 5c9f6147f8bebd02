//! The elements of a set with their dots, found by hash.
//!
//! ```text
//! index   hash -> slot        slots   0 mug eu:3   1 -   2 tea eu:2 us:1        free   1
//! ```
//! An element keeps its slot for as long as it is there, so that a dot can point at it, and for a while after: what was removed is often added
//! again. Those that are kept without a dot are at most twice as many as the others, and [`KEPT`]. A set of a few elements, as most deltas are,
//! has no index: looking at all of them is as fast, and an index would have to be allocated.
//!
//! The hashes have a random seed, so that nobody can choose keys that share a place in the index.

use std::{hash::BuildHasher as _, mem};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{Dots, Name};
use crate::{Dot, codec::Element};

/// Up to so many slots are gone through one by one. Small in tests, so that few elements have an index.
const FEW: usize = if cfg!(test) { 2 } else { 8 };

/// See above. Small in tests, so that few elements are swept out.
const KEPT: usize = if cfg!(test) { 2 } else { 64 };

/// Where an element is. Past the slots there are: where it will be.
pub(crate) type Slot = u32;

#[derive(Debug, Clone)]
pub(super) struct Held<E> {
    pub(super) element: E,
    pub(super) dots: Dots,
    pub(super) name: Name,
}

#[derive(Debug, Clone)]
pub(super) struct Elements<E> {
    slots: Vec<Option<Held<E>>>,
    free: Vec<Slot>,
    /// Slots whose element has no dot.
    bare: usize,
    index: Option<HashTable<Slot>>,
    hasher: DefaultHashBuilder,
}

impl<E> Default for Elements<E> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), bare: 0, index: None, hasher: DefaultHashBuilder::default() }
    }
}

impl<E: Element> Elements<E> {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let index = (capacity > FEW).then(|| HashTable::with_capacity(capacity));
        Self { slots: Vec::with_capacity(capacity), free: Vec::new(), bare: 0, index, hasher: DefaultHashBuilder::default() }
    }

    /// Makes room for so many more.
    pub(super) fn reserve(&mut self, count: usize) {
        self.slots.reserve(count.saturating_sub(self.free.len()));
        let (slots, hasher) = (&self.slots, &self.hasher);
        match &mut self.index {
            Some(index) => index.reserve(count, |slot| hash_at(slots, *slot, hasher)),
            None if slots.len() + count > FEW => self.index = Some(indexed(slots, count, hasher)),
            None => {}
        }
    }

    /// Past the last slot.
    pub(super) fn end(&self) -> Slot {
        Slot::try_from(self.slots.len()).expect("fewer than 2^32 elements, which take 64 bytes each")
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len() - self.bare
    }

    /// What is in a slot, if it has a dot.
    pub(super) fn at(&self, slot: Slot) -> Option<&Held<E>> {
        self.slots.get(slot as usize)?.as_ref().filter(|held| !held.dots.is_empty())
    }

    /// Gives an element a dot that it does not have.
    #[inline]
    pub(super) fn add(&mut self, slot: Slot, dot: Dot) {
        if let Some(Some(held)) = self.slots.get_mut(slot as usize) {
            self.bare -= usize::from(held.dots.is_empty());
            held.dots.insert(dot);
        }
    }

    /// Takes a dot from an element that has it.
    #[inline]
    pub(super) fn take(&mut self, slot: Slot, dot: Dot) {
        if let Some(Some(held)) = self.slots.get_mut(slot as usize) {
            held.dots.remove(dot);
            self.bare += usize::from(held.dots.is_empty());
        }
    }

    /// Gives an element other dots; returns those it had.
    pub(super) fn replace(&mut self, slot: Slot, dots: Dots) -> Dots {
        let Some(Some(held)) = self.slots.get_mut(slot as usize) else { return dots };
        let old = mem::replace(&mut held.dots, dots);
        let is_bare = usize::from(held.dots.is_empty());
        self.bare = self.bare + is_bare - usize::from(old.is_empty());
        old
    }

    /// Clears out what has no dot, when that has become too much.
    pub(super) fn sweep(&mut self) {
        if self.bare <= 2 * self.len() + KEPT {
            return;
        }
        for (slot, place) in (0..).zip(&mut self.slots) {
            let bare = place.take_if(|held| held.dots.is_empty());
            if let Some(held) = bare {
                self.free.push(slot);
                if let Some(index) = &mut self.index
                    && let Ok(place) = index.find_entry(held.hash(&self.hasher), |other| *other == slot)
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

    /// All dots with their slots, in no order.
    pub(super) fn dots(&self) -> impl Iterator<Item = (Dot, Slot)> {
        let held = (0..).zip(&self.slots).filter_map(|(slot, held)| Some((slot, held.as_ref()?)));
        held.flat_map(|(slot, held)| held.dots.as_slice().iter().map(move |dot| (*dot, slot)))
    }

    /// In no order.
    pub(super) fn into_iter(self) -> impl Iterator<Item = Held<E>> {
        self.slots.into_iter().flatten().filter(|held| !held.dots.is_empty())
    }

    /// The slot of an element, whether it has a dot or not, or the hash to [`Self::insert`] it with. `key` is needed unless all of it is in its
    /// name.
    #[inline]
    pub(super) fn find(&self, name: Name, key: Option<&E::Key>) -> Result<Slot, u64> {
        match key.filter(|_| !name.is_whole()) {
            None => self.find_by(self.hasher.hash_one(name), |held| held.name == name),
            Some(key) => self.find_long(name, key),
        }
    }

    fn find_long(&self, name: Name, key: &E::Key) -> Result<Slot, u64> {
        self.find_by(self.hasher.hash_one(key), |held| held.name == name && held.element.key() == key)
    }

    #[inline]
    fn find_by(&self, hash: u64, is_it: impl Fn(&Held<E>) -> bool) -> Result<Slot, u64> {
        let is_at = |slot: Slot| self.slots.get(slot as usize).and_then(Option::as_ref).is_some_and(&is_it);
        let found = match &self.index {
            Some(index) => index.find(hash, |slot| is_at(*slot)).copied(),
            None => (0..self.end()).find(|slot| is_at(*slot)),
        };
        found.ok_or(hash)
    }

    /// Puts in an element that is not there; returns its slot.
    pub(super) fn insert(&mut self, hash: u64, name: Name, element: E, dots: Dots) -> Slot {
        self.bare += usize::from(dots.is_empty());
        let held = Some(Held { element, dots, name });
        let slot = self.free.pop().unwrap_or_else(|| self.end());
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = held,
            None => self.slots.push(held),
        }
        let (slots, hasher) = (&self.slots, &self.hasher);
        if let Some(index) = &mut self.index {
            index.insert_unique(hash, slot, |slot| hash_at(slots, *slot, hasher));
        } else if slots.len() > FEW {
            self.index = Some(indexed(slots, slots.len(), hasher));
        }
        slot
    }
}

impl<E: Element> Held<E> {
    fn hash(&self, hasher: &DefaultHashBuilder) -> u64 {
        if self.name.is_whole() { hasher.hash_one(self.name) } else { hasher.hash_one(self.element.key()) }
    }
}

fn hash_at<E: Element>(slots: &[Option<Held<E>>], slot: Slot, hasher: &DefaultHashBuilder) -> u64 {
    slots.get(slot as usize).and_then(Option::as_ref).map_or(0, |held| held.hash(hasher))
}

/// The index of these slots, with room for `more`.
fn indexed<E: Element>(slots: &[Option<Held<E>>], more: usize, hasher: &DefaultHashBuilder) -> HashTable<Slot> {
    let mut index = HashTable::with_capacity(slots.len() + more);
    for (slot, held) in (0..).zip(slots).filter_map(|(slot, held)| Some((slot, held.as_ref()?))) {
        index.insert_unique(held.hash(hasher), slot, |slot| hash_at(slots, *slot, hasher));
    }
    index
}
