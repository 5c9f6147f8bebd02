//! A sorted map in blocks: a B-tree of two levels, made for joins.
//!
//! Finding takes `O(log n)` comparisons; inserting and removing also move at most one block. [`Blocks::join`] and [`Blocks::union`] make
//! one map of two in one pass that moves each entry once and compares each key about once; where the two do not mix, whole blocks move.

use std::{borrow::Borrow, cmp::Ordering, mem, vec};

#[cfg(test)]
mod tests;

/// Entries of a block before it is split. Small in tests, so that few entries make many blocks.
const FULL: usize = if cfg!(test) { 4 } else { 256 };

/// A sorted map. No block is empty.
#[derive(Debug, Clone)]
pub(crate) struct Blocks<K, V> {
    blocks: Vec<Vec<(K, V)>>,
    len: usize,
}

impl<K, V> Default for Blocks<K, V> {
    fn default() -> Self {
        Self { blocks: Vec::new(), len: 0 }
    }
}

impl<K: Ord, V> Blocks<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (block, index) = self.seek(|found| found.borrow() < key);
        let (found, value) = self.blocks.get(block)?.get(index)?;
        (found.borrow() == key).then_some(value)
    }

    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (block, index) = self.seek(|found| found.borrow() < key);
        let (found, value) = self.blocks.get_mut(block)?.get_mut(index)?;
        ((*found).borrow() == key).then_some(value)
    }

    /// Puts `value` under `key` and returns what was there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (at, index) = self.seek(|found| *found < key);
        let Some(block) = self.blocks.get_mut(at) else {
            self.push(key, value);
            return None;
        };
        if let Some((found, held)) = block.get_mut(index)
            && *found == key
        {
            return Some(mem::replace(held, value));
        }
        block.insert(index, (key, value));
        if block.len() > FULL {
            let upper = block.split_off(FULL / 2);
            self.blocks.insert(at + 1, upper);
        }
        self.len += 1;
        None
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (at, index) = self.seek(|found| found.borrow() < key);
        let block = self.blocks.get_mut(at)?;
        if block.get(index)?.0.borrow() != key {
            return None;
        }
        let (_, value) = block.remove(index);
        if block.is_empty() {
            self.blocks.remove(at);
        }
        self.len -= 1;
        Some(value)
    }

    /// Puts an entry behind all others: its key is above theirs.
    pub(crate) fn push(&mut self, key: K, value: V) {
        let room = if self.blocks.is_empty() { 1 } else { FULL };
        match self.blocks.last_mut() {
            Some(block) if block.len() < FULL => block.push((key, value)),
            _ => {
                let mut block = Vec::with_capacity(room);
                block.push((key, value));
                self.blocks.push(block);
            }
        }
        self.len += 1;
    }

    /// The entries in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.blocks.iter().flatten().map(|(key, value)| (key, value))
    }

    /// The entries in order, from the first key that is not `before`. The keys before it come first.
    pub(crate) fn starting(&self, before: impl Fn(&K) -> bool) -> impl Iterator<Item = (&K, &V)> {
        let (block, index) = self.seek(before);
        let rest = self.blocks.get(block..).unwrap_or_default();
        rest.iter().flatten().skip(index).map(|(key, value)| (key, value))
    }

    /// Keeps the entries whose keys `keep` accepts; it is asked in order.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K) -> bool) {
        self.blocks.iter_mut().for_each(|block| block.retain(|(key, _)| keep(key)));
        self.blocks.retain(|block| !block.is_empty());
        self.len = self.blocks.iter().map(Vec::len).sum();
    }

    /// Both maps in one. `choose` is given each key's value on this side, on the other, or on both, and says what stays.
    pub(crate) fn join(self, other: Self, mut choose: impl FnMut(Option<V>, Option<V>) -> Option<V>) -> Self {
        let mut joined = Self::default();
        let (mut mine, mut theirs) = (self.into_iter(), other.into_iter());
        loop {
            let order = match (mine.peek(), theirs.peek()) {
                (Some(mine), Some(theirs)) => mine.cmp(theirs),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            let mine = if order == Ordering::Greater { None } else { mine.next() };
            let theirs = if order == Ordering::Less { None } else { theirs.next() };
            let (key, value) = match (mine, theirs) {
                (Some((key, mine)), theirs) => (key, choose(Some(mine), theirs.map(|(_, value)| value))),
                (None, Some((key, theirs))) => (key, choose(None, Some(theirs))),
                (None, None) => return joined,
            };
            if let Some(value) = value {
                joined.push(key, value);
            }
        }
    }

    /// Both maps in one, which have no key in common. Stretches that lie between two keys of the other side are moved by the block.
    pub(crate) fn union(self, other: Self) -> Self {
        let mut joined = Self::default();
        let (mut mine, mut theirs) = (self.into_iter(), other.into_iter());
        loop {
            let (low, high) = match (mine.peek(), theirs.peek()) {
                (Some(my_key), Some(their_key)) if my_key < their_key => (&mut mine, Some(their_key)),
                (my_key, Some(_)) => (&mut theirs, my_key),
                (Some(_), None) => (&mut mine, None),
                (None, None) => return joined,
            };
            if high.is_none_or(|high| low.ends_before(high)) {
                joined.push_block(low.rest_of_block());
            } else if let Some((key, value)) = low.next() {
                joined.push(key, value);
            }
        }
    }

    /// Puts a block behind all others.
    fn push_block(&mut self, mut block: Vec<(K, V)>) {
        self.len += block.len();
        match self.blocks.last_mut() {
            Some(last) if last.len() + block.len() <= FULL => last.append(&mut block),
            _ => self.blocks.push(block),
        }
    }

    /// Block and index of the first entry whose key is not `before`.
    fn seek(&self, before: impl Fn(&K) -> bool) -> (usize, usize) {
        let block = self.blocks.partition_point(|block| block.last().is_some_and(|(key, _)| before(key)));
        let index = self.blocks.get(block).map_or(0, |block| block.partition_point(|(key, _)| before(key)));
        (block, index)
    }
}

/// The entries of a map, in order, as they are taken out.
#[derive(Debug)]
pub(crate) struct Entries<K, V> {
    /// Empty only at the end.
    block: vec::IntoIter<(K, V)>,
    blocks: vec::IntoIter<Vec<(K, V)>>,
}

impl<K: Ord, V> Entries<K, V> {
    fn peek(&self) -> Option<&K> {
        self.block.as_slice().first().map(|(key, _)| key)
    }

    /// Whether all that is left of the block comes before `key`.
    fn ends_before(&self, key: &K) -> bool {
        self.block.as_slice().last().is_some_and(|(last, _)| last < key)
    }

    fn rest_of_block(&mut self) -> Vec<(K, V)> {
        let next = self.blocks.next().unwrap_or_default();
        mem::replace(&mut self.block, next.into_iter()).collect()
    }
}

impl<K, V> Iterator for Entries<K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        let entry = self.block.next();
        if self.block.as_slice().is_empty() {
            self.block = self.blocks.next().unwrap_or_default().into_iter();
        }
        entry
    }
}

impl<K, V> IntoIterator for Blocks<K, V> {
    type Item = (K, V);
    type IntoIter = Entries<K, V>;

    fn into_iter(self) -> Entries<K, V> {
        let mut blocks = self.blocks.into_iter();
        Entries { block: blocks.next().unwrap_or_default().into_iter(), blocks }
    }
}

/// Entries in order, whatever the operations that put them there.
impl<K: Ord, V> FromIterator<(K, V)> for Blocks<K, V> {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(entries: T) -> Self {
        let mut blocks = Self::default();
        entries.into_iter().for_each(|(key, value)| blocks.push(key, value));
        blocks
    }
}

/// The same entries, however they are cut into blocks.
impl<K: Ord, V: PartialEq> PartialEq for Blocks<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Ord, V: Eq> Eq for Blocks<K, V> {}
