//! Where each dot's element is: what a remove, which names nothing but dots, is about.
//!
//! ```text
//! eu   old   12 -> slot 7   31 -> gone   40 -> slot 1      by counter
//!      recent from 57:   slot 2   gone   slot 0   gone     one place a counter, up to the last
//! us   ...
//! ```
//! Most of what changes is recent, and is found and put in without a search. The recent part is at most some times as long as there are
//! dots, so what it keeps for those that are gone is in proportion to the others; the same holds for the marks in the old part.

use super::elements::Slot;
use crate::{Dot, ReplicaId, context::Run};

/// In place of the slot of a dot that is gone.
const GONE: Slot = Slot::MAX;

/// The recent part has so many places, and so many times the dots that are held; twice that before it is cut. Small in tests, so that few
/// dots make an old part.
const RECENT: usize = if cfg!(test) { 2 } else { 64 };
const RECENT_TIMES: usize = if cfg!(test) { 1 } else { 8 };

/// One replica's dots.
#[derive(Debug, Clone)]
struct Log {
    replica: ReplicaId,
    /// Counter and slot, sorted; all before `from`.
    old: Vec<(u64, Slot)>,
    /// Marks in `old`.
    gone: usize,
    /// The counter that the first place of `recent` is for.
    from: u64,
    recent: Vec<Slot>,
    /// Dots that are there.
    held: usize,
}

/// Slots by dot.
#[derive(Debug, Clone, Default)]
pub(super) struct ByDot {
    /// Sorted by replica.
    logs: Vec<Log>,
}

impl Log {
    fn new(replica: ReplicaId, from: u64) -> Self {
        Self { replica, old: Vec::new(), gone: 0, from, recent: Vec::new(), held: 0 }
    }

    /// The place of a counter in the recent part, whether there is one or not; `None` for an older one.
    fn place(&self, counter: u64) -> Option<usize> {
        usize::try_from(counter.checked_sub(self.from)?).ok()
    }

    /// Puts in a dot that was never there. One before the recent part is put behind the old ones, which must be sorted then: `false`.
    #[inline]
    fn put(&mut self, counter: u64, slot: Slot) -> bool {
        let Some(place) = self.place(counter) else {
            self.old.push((counter, slot));
            return false;
        };
        if let Some(recent) = self.recent.get_mut(place) {
            *recent = slot;
        } else if place - self.recent.len() <= self.window() {
            self.recent.resize(place, GONE);
            self.recent.push(slot);
        } else {
            self.age(self.recent.len());
            self.from = counter;
            self.recent.push(slot);
        }
        true
    }

    fn window(&self) -> usize {
        RECENT + RECENT_TIMES * self.held
    }

    /// Makes the first `count` places old.
    fn age(&mut self, count: usize) {
        let aged = (self.from..).zip(self.recent.drain(..count));
        self.old.extend(aged.filter(|(_, slot)| *slot != GONE));
        self.from += u64::try_from(count).expect("a length fits 64 bits");
    }

    /// Takes out the dots of runs that are not to be kept; see [`ByDot::remove`]. The first dot of `runs` has the number `start`.
    fn remove(&mut self, runs: &[Run], mut start: u64, keep: impl Fn(Dot, u64) -> bool, mut removed: impl FnMut(Dot, Slot)) {
        let mut remove = |dot: Dot, number: u64, slot: &mut Slot| {
            let is_removed = *slot != GONE && !keep(dot, number);
            if is_removed {
                removed(dot, *slot);
                *slot = GONE;
            }
            usize::from(is_removed)
        };
        let (mut gone_old, mut gone_recent) = (0, 0);
        for run in runs {
            if run.first < self.from {
                let from = self.old.partition_point(|(counter, _)| *counter < run.first);
                for (counter, slot) in self.old[from..].iter_mut().take_while(|(counter, _)| *counter <= run.last) {
                    gone_old += remove(Dot::in_run(run.replica, *counter), start + (*counter - run.first), slot);
                }
            }
            let first = run.first.max(self.from);
            let recent = self.place(first).and_then(|place| self.recent.get_mut(place..)).unwrap_or_default();
            for (counter, slot) in (first..=run.last).zip(recent) {
                gone_recent += remove(Dot::in_run(run.replica, counter), start + (counter - run.first), slot);
            }
            start += run.len();
        }
        self.gone += gone_old;
        self.held -= gone_old + gone_recent;
        self.tidy();
    }

    /// Cuts what has become too long.
    fn tidy(&mut self) {
        if self.gone > self.old.len() / 2 {
            self.old.retain(|(_, slot)| *slot != GONE);
            self.gone = 0;
        }
        let window = self.window();
        if self.recent.len() > 2 * window {
            self.age(self.recent.len() - window);
        }
    }
}

impl ByDot {
    /// These dots.
    pub(super) fn of(dots: impl Iterator<Item = (Dot, Slot)>) -> Self {
        let mut dots: Vec<_> = dots.collect();
        dots.sort_unstable_by_key(|(dot, _)| *dot);
        let mut by_dot = Self::default();
        by_dot.extend(&dots);
        by_dot
    }

    /// All dots with their slots, in order.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (Dot, Slot)> {
        self.logs.iter().flat_map(|log| {
            let all = log.old.iter().copied().chain((log.from..).zip(log.recent.iter().copied()));
            let held = all.filter(|(_, slot)| *slot != GONE);
            held.map(|(counter, slot)| (Dot::in_run(log.replica, counter), slot))
        })
    }

    /// Puts in dots that were never there, in any order; those of one replica together are put in fastest.
    pub(super) fn extend(&mut self, dots: &[(Dot, Slot)]) {
        for of_replica in dots.chunk_by(|(one, _), (next, _)| one.replica() == next.replica()) {
            let [(first, _), ..] = *of_replica else { continue };
            let found = self.logs.binary_search_by_key(&first.replica(), |log| log.replica);
            let index = found.unwrap_or_else(|index| {
                let lowest = of_replica.iter().map(|(dot, _)| dot.counter()).min();
                self.logs.insert(index, Log::new(first.replica(), lowest.unwrap_or(1)));
                index
            });
            let log = &mut self.logs[index];
            log.held += of_replica.len();
            let mut is_sorted = true;
            for (dot, slot) in of_replica {
                is_sorted &= log.put(dot.counter(), *slot);
            }
            if !is_sorted {
                // A stable sort takes a sorted stretch for what it is.
                log.old.sort_by_key(|(counter, _)| *counter);
            }
            log.tidy();
        }
    }

    /// Takes out the dots of `runs` that are not to be kept; asks with the dot and its number among all of `runs`, and gives each with its
    /// slot to `removed`.
    pub(super) fn remove(&mut self, runs: &[Run], keep: impl Fn(Dot, u64) -> bool, mut removed: impl FnMut(Dot, Slot)) {
        let mut start = 0;
        for of_replica in runs.chunk_by(|one, next| one.replica == next.replica) {
            let replica = of_replica.first().map(|run| run.replica);
            if let Some(log) = self.logs.iter_mut().find(|log| Some(log.replica) == replica) {
                log.remove(of_replica, start, &keep, &mut removed);
            }
            start += of_replica.iter().map(|run| run.len()).sum::<u64>();
        }
    }

    /// Takes out these dots.
    pub(super) fn remove_all(&mut self, dots: &[Dot]) {
        for dot in dots {
            self.remove(&[Run::of(*dot)], |_, _| false, |_, _| {});
        }
    }
}
