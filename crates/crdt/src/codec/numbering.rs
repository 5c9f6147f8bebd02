//! The dots of a context, numbered in order: a dot takes as few bits as there are dots to tell apart, and one outside the context has no
//! number.

use super::{
    Malformed,
    bits::{BitReader, BitWriter},
};
use crate::{Context, Dot, context::Run};

/// The numbers of a context's dots, from 0.
#[derive(Debug)]
pub(super) struct Numbering<'a> {
    runs: &'a [Run],
    /// The number of each run's first dot.
    starts: Vec<u64>,
    total: u64,
    width: Width,
}

/// How many bits a dot's number takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Width(u32);

impl Width {
    /// For so many dots.
    pub(super) fn of(total: u64) -> Self {
        Self(total.checked_sub(1).and_then(u64::checked_ilog2).map_or(0, |highest| highest + 1))
    }

    /// Writes a number, and before it whether it is the last of a group.
    pub(super) fn put(self, bits: &mut BitWriter<'_>, number: u64, is_last: bool) {
        bits.put(u64::from(!is_last), 1);
        bits.put(number, self.0);
    }

    /// Takes a number, and whether it is the last of a group.
    #[inline]
    pub(super) fn take(self, bits: &mut BitReader<'_, '_>) -> Result<(u64, bool), Malformed> {
        if self.0 < 64 {
            let both = bits.take(self.0 + 1)?;
            return Ok((both >> 1, both & 1 == 0));
        }
        let is_last = bits.take(1)? == 0;
        Ok((bits.take(self.0)?, is_last))
    }
}

impl<'a> Numbering<'a> {
    pub(super) fn of(context: &'a Context) -> Self {
        let mut total = 0;
        let mut starts = Vec::with_capacity(context.runs().len());
        for run in context.runs() {
            starts.push(total);
            total += run.len();
        }
        Self { runs: context.runs(), starts, total, width: Width::of(total) }
    }

    /// The number of a dot that is in the context.
    pub(super) fn number(&self, dot: Dot) -> u64 {
        let index = self.runs.partition_point(|run| run.last_dot() < dot);
        self.starts[index] + (dot.counter() - self.runs[index].first)
    }

    /// The dot with a number.
    pub(super) fn dot(&self, number: u64) -> Result<Dot, Malformed> {
        if number >= self.total {
            return Err(Malformed::Dot);
        }
        let index = self.starts.partition_point(|start| *start <= number) - 1;
        let run = self.runs[index];
        Ok(Dot::in_run(run.replica, run.first + (number - self.starts[index])))
    }

    /// Writes a dot, and before it whether it is the last of a group.
    pub(super) fn put(&self, bits: &mut BitWriter<'_>, dot: Dot, is_last: bool) {
        self.width.put(bits, self.number(dot), is_last);
    }

    /// Takes a group of dots: sorted, at least one. `each` takes what follows each dot.
    pub(super) fn take<T>(
        &self,
        bits: &mut BitReader<'_, '_>,
        mut each: impl FnMut(&mut BitReader<'_, '_>, Dot) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let mut taken = Vec::new();
        let mut previous = None;
        loop {
            bits.entry()?;
            let (number, is_last) = self.width.take(bits)?;
            if previous.is_some_and(|previous| number <= previous) {
                return Err(Malformed::Order);
            }
            previous = Some(number);
            taken.push(each(bits, self.dot(number)?)?);
            if is_last {
                return Ok(taken);
            }
        }
    }
}
