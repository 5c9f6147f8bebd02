//! Linearizability of one register, after Wing and Gong with Lowe's memory of states that were seen.
//!
//! A call whose outcome is unknown stays open to the end: it may take effect at any later moment, or never.

use std::collections::{HashMap, HashSet};

/// What a client did to a register. Values are unique, 0 is "nothing there".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// And what was seen; none when the outcome is unknown, and then it says nothing.
    Read(Option<u64>),
    Write(u64),
    /// Expected, new, and whether it was done if that is known.
    Swap(u64, u64, Option<bool>),
}

/// A call with its times; without an end the outcome is unknown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Op {
    pub(crate) call: Call,
    pub(crate) start: u64,
    pub(crate) end: Option<u64>,
}

/// Whether some order of the calls, which respects who ended before whom began, explains all that was seen.
pub(crate) fn is_linearizable(ops: &[Op]) -> bool {
    let mut ops: Vec<Op> = ops.iter().filter(|op| op.end.is_some() || !matches!(op.call, Call::Read(_))).copied().collect();
    ops.sort_by_key(|op| op.start);
    let search = Search::new(ops);
    let mut seen: HashSet<(Done, u64)> = HashSet::new();
    // Depth first; each frame is a set of calls that have taken effect, and the value after them.
    let mut stack = vec![(Done(vec![0; search.ops.len().div_ceil(64)]), 0)];
    while let Some((done, value)) = stack.pop() {
        // The next to take effect began before any of the others ended.
        let open = || (0..search.ops.len()).filter(|index| !done.has(*index));
        let Some(first_end) = open().filter_map(|index| search.ops[index].end).min() else { return true };
        let began = || open().take_while(|index| search.ops[*index].start <= first_end);
        for index in began().filter(|index| search.ops[*index].end.is_some()) {
            for (used, next) in search.ways(&done, value, index, began) {
                let mut done = done.clone();
                done.add(index);
                used.into_iter().for_each(|used| done.add(used));
                if seen.insert((done.clone(), next)) {
                    stack.push((done, next));
                }
            }
        }
    }
    false
}

/// The calls around the first moment up to which no order explains what was seen, oldest first: for whoever has to find out why.
///
/// Shown with their times, in microseconds, and with where they were made.
pub(crate) fn explain<W: std::fmt::Debug + Copy>(calls: &[(W, Op)]) -> String {
    let until = |moment: u64| -> Vec<Op> {
        let began = calls.iter().filter(|(_, op)| op.start <= moment);
        began.map(|(_, op)| Op { end: op.end.filter(|end| *end <= moment), ..*op }).collect()
    };
    let mut ends: Vec<u64> = calls.iter().filter_map(|(_, op)| op.end).collect();
    ends.sort_unstable();
    let bad = ends.partition_point(|moment| is_linearizable(&until(*moment)));
    let Some(moment) = ends.get(bad) else { return "every part is linearizable".to_owned() };
    let near = |op: &Op| op.start <= moment + 20_000_000 && op.end.is_none_or(|end| end + 1_000_000_000 >= *moment);
    let mut near: Vec<_> = calls.iter().filter(|(_, op)| near(op)).collect();
    near.sort_by_key(|(_, op)| op.start);
    let us = |nanos: u64| nanos / 1000;
    let lines = near.into_iter().map(|(who, op)| {
        let here = if op.end == Some(*moment) { "  <-- nothing explains it" } else { "" };
        format!("{:>9} {:>9}  {who:?} {:?}{here}", us(op.start), op.end.map_or_else(|| "?".to_owned(), |end| us(end).to_string()), op.call)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A set of calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Done(Vec<u64>);

impl Done {
    fn has(&self, index: usize) -> bool {
        (self.0[index / 64] >> (index % 64)) & 1 == 1
    }

    fn add(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }
}

/// Calls of unknown outcome are only taken right before a call that cannot be explained without them: one that nobody needs might as well
/// never have taken effect, and one that is needed later might as well have taken effect later.
struct Search {
    ops: Vec<Op>,
    /// The call of unknown outcome that would leave a value.
    makers: HashMap<u64, usize>,
}

impl Search {
    fn new(ops: Vec<Op>) -> Self {
        let unknown = ops.iter().enumerate().filter(|(_, op)| op.end.is_none());
        let makers = unknown.filter_map(|(index, op)| match op.call {
            Call::Write(new) | Call::Swap(_, new, _) => Some((new, index)),
            Call::Read(_) => None,
        });
        Self { makers: makers.collect(), ops }
    }

    /// The calls of unknown outcome that lead from one value to another.
    fn lead(&self, done: &Done, began: &[usize], from: u64, to: u64) -> Option<Vec<usize>> {
        if from == to {
            return Some(Vec::new());
        }
        let maker = *self.makers.get(&to).filter(|maker| !done.has(**maker) && began.contains(maker))?;
        let mut used = match self.ops[maker].call {
            // Values are unique, so this ends.
            Call::Swap(expected, ..) => self.lead(done, began, from, expected)?,
            _ => Vec::new(),
        };
        used.push(maker);
        Some(used)
    }

    /// The ways in which a call could go: calls of unknown outcome right before it, and the value after it.
    fn ways<I: Iterator<Item = usize>>(&self, done: &Done, value: u64, index: usize, began: impl Fn() -> I) -> Vec<(Vec<usize>, u64)> {
        let unknown: Vec<usize> = began().filter(|index| self.ops[*index].end.is_none()).collect();
        match self.ops[index].call {
            Call::Write(new) => vec![(Vec::new(), new)],
            Call::Read(None) => vec![(Vec::new(), value)],
            Call::Read(Some(seen)) => self.lead(done, &unknown, value, seen).map(|used| (used, seen)).into_iter().collect(),
            Call::Swap(expected, new, Some(true)) => {
                self.lead(done, &unknown, value, expected).map(|used| (used, new)).into_iter().collect()
            }
            Call::Swap(expected, ..) if value != expected => vec![(Vec::new(), value)],
            // It failed although its value is there: somebody whose outcome is unknown was first.
            Call::Swap(..) => {
                let others = unknown.iter().filter_map(|other| match self.ops[*other].call {
                    Call::Write(new) => Some((vec![*other], new)),
                    Call::Swap(expected, new, _) if expected == value => Some((vec![*other], new)),
                    _ => None,
                });
                others.collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(call: Call, start: u64, end: u64) -> Op {
        Op { call, start, end: Some(end) }
    }

    #[test]
    fn a_stale_read_is_found() {
        assert!(!is_linearizable(&[op(Call::Write(1), 0, 1), op(Call::Write(2), 2, 3), op(Call::Read(Some(1)), 4, 5)]));
        assert!(is_linearizable(&[op(Call::Write(1), 0, 1), op(Call::Write(2), 2, 6), op(Call::Read(Some(1)), 4, 5)]));
    }

    #[test]
    fn a_lost_write_is_found() {
        assert!(!is_linearizable(&[op(Call::Write(1), 0, 1), op(Call::Read(Some(0)), 2, 3)]));
        let unknown = Op { call: Call::Write(1), start: 0, end: None };
        assert!(is_linearizable(&[unknown, op(Call::Read(Some(0)), 2, 3)]));
        assert!(is_linearizable(&[unknown, op(Call::Read(Some(0)), 2, 3), op(Call::Read(Some(1)), 4, 5)]), "it may come late");
        assert!(!is_linearizable(&[unknown, op(Call::Read(Some(1)), 2, 3), op(Call::Read(Some(0)), 4, 5)]), "but not go again");
    }

    #[test]
    fn unknown_calls_may_build_on_one_another() {
        let unknown = |call, start| Op { call, start, end: None };
        let chain = [unknown(Call::Write(1), 0), unknown(Call::Swap(1, 2, None), 1)];
        assert!(is_linearizable(&[chain[0], chain[1], op(Call::Read(Some(2)), 5, 6)]));
        assert!(!is_linearizable(&[chain[1], op(Call::Read(Some(2)), 5, 6)]), "nobody wrote what was swapped");
        let failed = op(Call::Swap(0, 9, Some(false)), 5, 6);
        assert!(is_linearizable(&[chain[0], failed]) && !is_linearizable(&[failed]));
    }

    #[test]
    fn what_cannot_be_explained_is_shown() {
        let calls = [op(Call::Write(1), 0, 1000), op(Call::Write(2), 2000, 3000), op(Call::Read(Some(1)), 4000, 5000)];
        let shown = explain(&calls.map(|op| ("eu", op)));
        assert_eq!(shown.lines().last().unwrap().trim(), "4         5  \"eu\" Read(Some(1))  <-- nothing explains it");
        assert_eq!(explain(&[("eu", calls[0])]), "every part is linearizable");
    }

    #[test]
    fn two_swaps_from_one_value_are_found() {
        let swap = |new, start| op(Call::Swap(0, new, Some(true)), start, start + 10);
        assert!(!is_linearizable(&[swap(1, 0), swap(2, 1)]));
        assert!(is_linearizable(&[swap(1, 0), op(Call::Swap(0, 2, Some(false)), 1, 5)]));
    }
}
