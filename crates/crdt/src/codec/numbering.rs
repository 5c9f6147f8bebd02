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
    width: u32,
}

/// Where one is in taking groups of dots.
#[derive(Debug, Default)]
pub(super) struct Group {
    previous: Option<u64>,
    /// The run that the dot before was in; the next one often is too.
    run: usize,
}

impl Group {
    /// The next group begins.
    pub(super) fn begin(&mut self) {
        self.previous = None;
    }
}

impl<'a> Numbering<'a> {
    pub(super) fn of(context: &'a Context) -> Self {
        let mut total = 0;
        let mut starts = Vec::with_capacity(context.runs().len());
        for run in context.runs() {
            starts.push(total);
            total += run.last - run.first + 1;
        }
        let width = total.checked_sub(1).and_then(u64::checked_ilog2).map_or(0, |highest| highest + 1);
        Self { runs: context.runs(), starts, total, width }
    }

    /// How many dots there are.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The number of the dot with `counter` in the run with this index.
    pub(super) fn number_in(&self, run: usize, counter: u64) -> u64 {
        self.starts[run] + (counter - self.runs[run].first)
    }

    /// The number of a dot that is in the context.
    pub(super) fn number(&self, dot: Dot) -> u64 {
        let index = self.runs.partition_point(|run| run.last_dot() < dot);
        self.number_in(index, dot.counter())
    }

    /// The dot with a number.
    pub(super) fn dot(&self, number: u64) -> Result<Dot, Malformed> {
        self.dot_near(number, &mut 0)
    }

    /// The same; looks in the run `near` first, and says there in which one it was.
    fn dot_near(&self, number: u64, near: &mut usize) -> Result<Dot, Malformed> {
        if number >= self.total {
            return Err(Malformed::Dot);
        }
        let offset_in = |index: usize| {
            let (run, start) = (self.runs.get(index)?, self.starts.get(index)?);
            number.checked_sub(*start).filter(|offset| *offset <= run.last - run.first)
        };
        let offset = offset_in(*near).unwrap_or_else(|| {
            *near = self.starts.partition_point(|start| *start <= number) - 1;
            number - self.starts[*near]
        });
        let run = self.runs[*near];
        Ok(Dot::in_run(run.replica, run.first + offset))
    }

    /// Writes a dot, and before it whether it is the last of a group.
    pub(super) fn put(&self, bits: &mut BitWriter<'_>, dot: Dot, is_last: bool) {
        bits.put(u64::from(!is_last), 1);
        bits.put(self.number(dot), self.width);
    }

    /// Takes a group of dots: sorted, at least one. `each` takes what follows each dot.
    pub(super) fn take<T>(
        &self,
        bits: &mut BitReader<'_, '_>,
        mut each: impl FnMut(&mut BitReader<'_, '_>, Dot) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let mut taken = Vec::new();
        let mut group = Group::default();
        loop {
            let (_, dot, is_last) = self.take_next(&mut group, bits)?;
            taken.push(each(bits, dot)?);
            if is_last {
                return Ok(taken);
            }
        }
    }

    /// Takes the next dot of a group: its number, itself, and whether it is the last.
    pub(super) fn take_next(&self, group: &mut Group, bits: &mut BitReader<'_, '_>) -> Result<(u64, Dot, bool), Malformed> {
        bits.entry()?;
        let (is_last, number) = if self.width < 64 {
            let both = bits.take(self.width + 1)?;
            (both & 1 == 0, both >> 1)
        } else {
            (bits.take(1)? == 0, bits.take(self.width)?)
        };
        if group.previous.is_some_and(|previous| number <= previous) {
            return Err(Malformed::Order);
        }
        group.previous = Some(number);
        Ok((number, self.dot_near(number, &mut group.run)?, is_last))
    }
}
