//! Where each dot's element is: what a remove, which names nothing but dots, is about.
//!
//! ```text
//! eu   old   12 -> slot 7   31 -> gone   40 -> slot 1      by counter
//!      recent from 57:   slot 2   gone   slot 0   gone     one place a counter, up to the last
//! us   ...
//! ```
//! Most of what changes is recent, and is found and put in without a search. The recent part is at most some times as long as there are
//! dots, so what it keeps for those that are gone is in proportion to the others; the same holds for the marks in the old part.

use crate::{Dot, ReplicaId, context::Run};

/// In place of the slot of a dot that is gone.
const GONE: usize = usize::MAX;

/// The recent part has so many places, and so many times the dots that are held; twice that before it is cut. Small in tests, so that few
/// dots make an old part.
const RECENT: usize = if cfg!(test) { 2 } else { 64 };
const RECENT_TIMES: usize = if cfg!(test) { 1 } else { 8 };

/// One replica's dots.
#[derive(Debug, Clone)]
struct Log {
    replica: ReplicaId,
    /// Counter and slot, sorted; all before `from`.
    old: Vec<(u64, usize)>,
    /// Marks in `old`.
    gone: usize,
    /// The counter that the first place of `recent` is for.
    from: u64,
    recent: Vec<usize>,
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

    fn slot(&self, counter: u64) -> Option<usize> {
        let slot = match self.place(counter) {
            Some(place) => *self.recent.get(place)?,
            None => {
                let found = self.old.binary_search_by_key(&counter, |(counter, _)| *counter);
                self.old.get(found.ok()?)?.1
            }
        };
        (slot != GONE).then_some(slot)
    }

    /// Puts in a dot that was never there. One before the recent part is put behind the old ones, which must be sorted then: `false`.
    fn put(&mut self, counter: u64, slot: usize) -> bool {
        self.held += 1;
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

    fn remove(&mut self, run: Run, keep: impl Fn(u64) -> bool, mut removed: impl FnMut(Dot, usize)) {
        let mut remove = |counter: u64, slot: &mut usize| {
            let is_removed = *slot != GONE && !keep(counter);
            if is_removed {
                removed(Dot::in_run(run.replica, counter), *slot);
                *slot = GONE;
            }
            usize::from(is_removed)
        };
        if run.first < self.from {
            let from = self.old.partition_point(|(counter, _)| *counter < run.first);
            let in_run = self.old[from..].iter_mut().take_while(|(counter, _)| *counter <= run.last);
            let gone: usize = in_run.map(|(counter, slot)| remove(*counter, slot)).sum();
            self.gone += gone;
            self.held -= gone;
        }
        if let Some(last) = self.place(run.last) {
            let first = self.place(run.first).unwrap_or(0);
            let end = last.saturating_add(1).min(self.recent.len());
            let places = self.recent.get_mut(first..end).unwrap_or_default();
            let counters = run.first.max(self.from)..;
            let gone: usize = counters.zip(places).map(|(counter, slot)| remove(counter, slot)).sum();
            self.held -= gone;
        }
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
    /// All dots with their slots, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Dot, usize)> {
        self.logs.iter().flat_map(|log| {
            let all = log.old.iter().copied().chain((log.from..).zip(log.recent.iter().copied()));
            let held = all.filter(|(_, slot)| *slot != GONE);
            held.map(|(counter, slot)| (Dot::in_run(log.replica, counter), slot))
        })
    }

    pub(super) fn contains(&self, dot: Dot) -> bool {
        let log = self.logs.binary_search_by_key(&dot.replica(), |log| log.replica);
        log.ok().and_then(|index| self.logs.get(index)).is_some_and(|log| log.slot(dot.counter()).is_some())
    }

    /// Puts in dots that were never there, in any order; those of one replica together are put in fastest.
    pub(super) fn extend(&mut self, dots: &[(Dot, usize)]) {
        for of_replica in dots.chunk_by(|(one, _), (next, _)| one.replica() == next.replica()) {
            let [(first, _), ..] = *of_replica else { continue };
            let found = self.logs.binary_search_by_key(&first.replica(), |log| log.replica);
            let index = found.unwrap_or_else(|index| {
                let lowest = of_replica.iter().map(|(dot, _)| dot.counter()).min();
                self.logs.insert(index, Log::new(first.replica(), lowest.unwrap_or(1)));
                index
            });
            let log = &mut self.logs[index];
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

    /// Takes out the dots of `runs` that are not to be kept; asks with the run's index and the counter, and gives each with its slot to
    /// `removed`.
    pub(super) fn remove(&mut self, runs: &[Run], keep: impl Fn(usize, u64) -> bool, mut removed: impl FnMut(Dot, usize)) {
        let mut index = 0;
        for of_replica in runs.chunk_by(|one, next| one.replica == next.replica) {
            let replica = of_replica.first().map(|run| run.replica);
            let found = self.logs.iter_mut().find(|log| Some(log.replica) == replica);
            if let Some(log) = found {
                for (offset, run) in of_replica.iter().enumerate() {
                    log.remove(*run, |counter| keep(index + offset, counter), &mut removed);
                }
                log.tidy();
            }
            index += of_replica.len();
        }
    }

    /// Takes out these dots.
    pub(super) fn remove_all(&mut self, dots: &[Dot]) {
        for dot in dots {
            self.remove(&[Run::of(*dot)], |_, _| false, |_, _| {});
        }
    }
}
