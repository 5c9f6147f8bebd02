//! What a set takes in from bytes: found out before anything is changed, because the bytes may yet prove to be no set.

use std::mem;

use super::{Dots, Name, OrSet, elements::Slot};
use crate::{Context, Dot, codec::Element, context::Run};

/// What another set has and this one does not.
#[derive(Debug)]
pub(crate) struct News<E> {
    /// Runs of dots that the other has seen and this one has not; each behind the number of its first dot among all that the other has seen.
    missing: Vec<(u64, Run)>,
    /// Where in `missing` the last dot was; the next one often is there too.
    near: usize,
    /// Past the last slot of this set.
    end: Slot,
    /// Elements that have no slot yet: the first will be at `end`, unless none of its dots is missing.
    strangers: Vec<Stranger<E>>,
    /// Missing dots with their elements.
    added: Vec<(Dot, Slot)>,
}

/// An element with the hash to put it in with.
#[derive(Debug)]
enum Stranger<E> {
    Outside(u64, Name, E),
    Inside(Slot),
}

impl<E> News<E> {
    /// An element has the dot with this number.
    #[inline]
    pub(crate) fn add(&mut self, slot: Slot, number: u64) {
        if let Some(dot) = self.dot(number) {
            self.added.push((dot, slot));
        }
    }

    /// The dot with a number, if it is missing.
    fn dot(&mut self, number: u64) -> Option<Dot> {
        let dot_in = |(start, run): &(u64, Run)| {
            let offset = number.checked_sub(*start).filter(|offset| *offset <= run.last - run.first);
            offset.map(|offset| Dot::in_run(run.replica, run.first + offset))
        };
        self.missing.get(self.near).and_then(dot_in).or_else(|| {
            self.near = self.missing.partition_point(|(start, _)| *start <= number).checked_sub(1)?;
            self.missing.get(self.near).and_then(dot_in)
        })
    }
}

impl<E: Element> OrSet<E> {
    /// Nothing yet of a set that has seen `seen`, with room for so many elements.
    pub(crate) fn news(&self, seen: &Context, count: usize) -> News<E> {
        let mut missing = Vec::new();
        self.context.each_missing(seen, |number, run| missing.push((number, run)));
        News { missing, near: 0, end: self.elements.end(), strangers: Vec::new(), added: Vec::with_capacity(count) }
    }

    /// Where an element is or will be. `key` is needed when it is not all in its name.
    #[inline]
    pub(crate) fn slot(&self, news: &mut News<E>, name: Name, key: Option<&E::Key>) -> Slot {
        self.elements.find(name, key).unwrap_or_else(|hash| {
            let slot = news.end + Slot::try_from(news.strangers.len()).expect("fewer than 2^32 elements");
            news.strangers.push(Stranger::Outside(hash, name, key.map_or_else(|| E::from_name(name), E::from_key)));
            slot
        })
    }

    /// Joins a set that has seen `seen`, and of it `holds` (dot, its number among those seen) its elements' dots.
    pub(crate) fn take_in(&mut self, seen: &Context, holds: impl Fn(Dot, u64) -> bool, news: News<E>) {
        let News { missing, end, mut strangers, mut added, .. } = news;
        self.elements.reserve(strangers.len());
        for (_, slot) in &mut added {
            let Some(stranger) = slot.checked_sub(end).and_then(|index| strangers.get_mut(index as usize)) else { continue };
            *slot = match mem::replace(stranger, Stranger::Inside(0)) {
                Stranger::Inside(slot) => slot,
                Stranger::Outside(hash, name, element) => self.elements.insert(hash, name, element, Dots::none()),
            };
            *stranger = Stranger::Inside(*slot);
        }
        self.join(seen, holds, added);
        self.context.insert_all(missing.iter().map(|(_, run)| run));
    }
}
