//! The causal context: which dots a replica has seen.
//!
//! ```text
//! eu: 1..........17        21..22          us: 1....9
//!     version vector       dot cloud           version vector
//! ```
//! Kept as runs of dots. A run from 1 is the version vector's entry; the runs behind it are the dot cloud, dots that arrived before the
//! ones in between. When a gap closes, two runs become one, so a set of dots has one form only. Source: Almeida, Shoker, Baquero, "Delta
//! state replicated data types", 2018.

use crate::{Dot, ReplicaId};

#[cfg(test)]
mod tests;

/// Up to so many runs are put in one by one; more are merged in one pass.
const FEW: usize = 8;

/// Dots of one replica without a gap, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) replica: ReplicaId,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Run {
    pub(crate) fn of(dot: Dot) -> Self {
        Self { replica: dot.replica(), first: dot.counter(), last: dot.counter() }
    }

    /// How many dots it is.
    pub(crate) fn len(self) -> u64 {
        self.last - self.first + 1
    }

    /// Its lowest dot.
    pub(crate) fn first_dot(self) -> Dot {
        Dot::in_run(self.replica, self.first)
    }

    /// Its highest dot.
    pub(crate) fn last_dot(self) -> Dot {
        Dot::in_run(self.replica, self.last)
    }
}

/// A set of dots: sorted runs that neither overlap nor touch. Memory: 24 bytes a run, so 24 a replica when nothing is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    runs: Vec<Run>,
}

impl Context {
    /// Nothing seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether no dot is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many dots are in it.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|run| run.len()).sum()
    }

    /// Whether `dot` is in it. `O(log runs)`.
    #[must_use]
    pub fn contains(&self, dot: Dot) -> bool {
        let after = self.runs.partition_point(|run| run.first_dot() <= dot);
        after.checked_sub(1).and_then(|index| self.runs.get(index)).is_some_and(|run| dot <= run.last_dot())
    }

    /// Whether all dots of `other` are in it.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        self.missing(other).is_empty()
    }

    /// The name of `replica`'s next event: one past the last seen. It is not put in.
    #[must_use]
    pub fn next_dot(&self, replica: ReplicaId) -> Dot {
        let after = self.runs.partition_point(|run| run.replica <= replica);
        let last = after.checked_sub(1).and_then(|index| self.runs.get(index)).filter(|run| run.replica == replica);
        Dot::in_run(replica, last.map_or(0, |run| run.last) + 1)
    }

    /// Puts `dot` in; says whether it is new.
    pub fn insert(&mut self, dot: Dot) -> bool {
        let is_new = !self.contains(dot);
        if is_new {
            self.insert_run(Run::of(dot));
        }
        is_new
    }

    /// Puts all dots of `other` in. Linear in the runs of both, and in those of `other` alone when they are few.
    pub fn merge(&mut self, other: &Self) {
        if other.runs.len() <= FEW {
            other.runs.iter().for_each(|run| self.insert_run(*run));
            return;
        }
        // A delta names many dots that were seen and few that were not.
        self.insert_all(&self.missing(other).runs);
    }

    /// Puts in sorted runs, none of which is in here.
    pub(crate) fn insert_all<'a>(&mut self, runs: impl IntoIterator<Item = &'a Run, IntoIter: ExactSizeIterator>) {
        let runs = runs.into_iter();
        if runs.len() <= FEW {
            runs.for_each(|run| self.insert_run(*run));
            return;
        }
        let mine = std::mem::take(&mut self.runs);
        let mut theirs = runs.copied().peekable();
        for run in mine {
            while let Some(before) = theirs.next_if(|their| their.first_dot() < run.first_dot()) {
                self.append(before);
            }
            self.append(run);
        }
        theirs.for_each(|run| self.append(run));
    }

    /// The dots of `other` that are not in here: what must still arrive to know what `other` knows. Linear in the runs of both.
    #[must_use]
    pub fn missing(&self, other: &Self) -> Self {
        let mut missing = Self::new();
        self.each_missing(other, |_, run| missing.append(run));
        missing
    }

    /// The same as runs that do not touch, in order, each behind the number of its first dot among all dots of `other`.
    pub(crate) fn each_missing(&self, other: &Self, mut each: impl FnMut(u64, Run)) {
        let mut mine = &self.runs[..];
        let mut number = 0;
        for run in &other.runs {
            let start = number;
            number += run.len();
            // As most runs of a delta are.
            if mine.first().is_some_and(|seen| seen.replica == run.replica && seen.first <= run.first && run.last <= seen.last) {
                continue;
            }
            if mine.first().is_some_and(|seen| seen.last_dot() < run.first_dot()) {
                mine = &mine[mine.partition_point(|seen| seen.last_dot() < run.first_dot())..];
            }
            let mut left = *run;
            while let Some(seen) = mine.first().filter(|seen| seen.first_dot() <= left.last_dot()) {
                if left.first < seen.first {
                    each(start + (left.first - run.first), Run { last: seen.first - 1, ..left });
                }
                left.first = seen.last + 1;
                if left.first > left.last {
                    break;
                }
                mine = &mine[1..];
            }
            if left.first <= left.last {
                each(start + (left.first - run.first), left);
            }
        }
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Makes room for so many more runs.
    pub(crate) fn reserve(&mut self, runs: usize) {
        self.runs.reserve(runs);
    }

    /// Puts in a run that starts no earlier than any in here.
    pub(crate) fn append(&mut self, run: Run) {
        match self.runs.last_mut() {
            Some(last) if last.replica == run.replica && run.first <= last.last + 1 => last.last = last.last.max(run.last),
            _ => self.runs.push(run),
        }
    }

    /// Puts in a run behind all others that does not touch the last one.
    pub(crate) fn push(&mut self, run: Run) {
        self.runs.push(run);
    }

    fn insert_run(&mut self, run: Run) {
        let to = self.runs.partition_point(|seen| (seen.replica, seen.first) <= (run.replica, run.last + 1));
        let touches = |seen: &&Run| seen.replica == run.replica && run.first <= seen.last + 1;
        let from = to - self.runs[..to].iter().rev().take_while(touches).count();
        match self.runs.get(from..to) {
            Some([low, .., high]) => {
                self.runs[from] = Run { first: low.first.min(run.first), last: high.last.max(run.last), ..run };
                self.runs.drain(from + 1..to);
            }
            Some([one]) => self.runs[from] = Run { first: one.first.min(run.first), last: one.last.max(run.last), ..run },
            _ => self.runs.insert(from, run),
        }
    }
}

impl FromIterator<Dot> for Context {
    fn from_iter<T: IntoIterator<Item = Dot>>(dots: T) -> Self {
        let mut context = Self::new();
        dots.into_iter().for_each(|dot| context.insert_run(Run::of(dot)));
        context
    }
}
