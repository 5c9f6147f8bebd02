//! Linearizability of one register, after Wing and Gong with Lowe's memory of states that were seen.
//!
//! A call whose outcome is unknown stays open to the end: it may take effect at any later moment, or never.

use std::collections::HashSet;

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

/// The value after a call, if the call could have gone like this.
fn step(value: u64, call: Call) -> Option<u64> {
    match call {
        Call::Read(seen) => seen.is_none_or(|seen| seen == value).then_some(value),
        Call::Write(new) => Some(new),
        Call::Swap(expected, new, done) => {
            let does = value == expected;
            done.is_none_or(|done| done == does).then_some(if does { new } else { value })
        }
    }
}

/// Whether some order of the calls, which respects who ended before whom began, explains all that was seen.
pub(crate) fn is_linearizable(ops: &[Op]) -> bool {
    let mut ops: Vec<Op> = ops.iter().filter(|op| op.end.is_some() || !matches!(op.call, Call::Read(_))).copied().collect();
    ops.sort_by_key(|op| op.start);
    let words = ops.len().div_ceil(64);
    let mut seen: HashSet<(Vec<u64>, u64)> = HashSet::new();
    // Depth first; each frame is a set of calls that have taken effect, and the value after them.
    let mut stack = vec![(vec![0u64; words], 0u64)];
    while let Some((done, value)) = stack.pop() {
        let is_done = |index: usize| done[index / 64] >> (index % 64) & 1 == 1;
        let open: Vec<usize> = (0..ops.len()).filter(|index| !is_done(*index)).collect();
        // The next to take effect began before any of the others ended.
        let Some(first_end) = open.iter().filter_map(|index| ops[*index].end).min() else { return true };
        for index in open.into_iter().take_while(|index| ops[*index].start <= first_end) {
            if let Some(next) = step(value, ops[index].call) {
                let mut done = done.clone();
                done[index / 64] |= 1 << (index % 64);
                if seen.insert((done.clone(), next)) {
                    stack.push((done, next));
                }
            }
        }
    }
    false
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
    fn two_swaps_from_one_value_are_found() {
        let swap = |new, start| op(Call::Swap(0, new, Some(true)), start, start + 10);
        assert!(!is_linearizable(&[swap(1, 0), swap(2, 1)]));
        assert!(is_linearizable(&[swap(1, 0), op(Call::Swap(0, 2, Some(false)), 1, 5)]));
    }
}
