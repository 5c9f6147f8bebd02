//! The causal context as bytes: usually three numbers a replica.

use super::{Malformed, Reader, Wire, put_count, put_number, put_rising};
use crate::{Context, Dot, ReplicaId, context::Run};

impl Wire for Context {
    const VERSION: u8 = 0x11;

    fn put(&self, out: &mut Vec<u8>) {
        let of_replicas = || self.runs().chunk_by(|one, next| one.replica == next.replica);
        put_count(out, of_replicas().count());
        let mut previous = None;
        for runs in of_replicas() {
            let [first, ..] = *runs else { continue };
            let id = u64::from(first.replica.0);
            put_rising(out, previous, id);
            previous = Some(id);
            put_count(out, 2 * runs.len() + usize::from(first.first == 1));
            let mut end = 0;
            for run in runs {
                if run.first > 1 {
                    put_number(out, run.first - end - 2);
                }
                put_number(out, run.last - run.first);
                end = run.last;
            }
        }
    }

    fn take(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut context = Self::new();
        let (mut previous, mut total) = (None, 0_u64);
        for _ in 0..input.count()? {
            let id = input.rising(previous)?;
            previous = Some(id);
            let replica = ReplicaId(u32::try_from(id).map_err(|_| Malformed::Number)?);
            let head = input.number()?;
            let runs = input.entries(head / 2)?;
            if runs == 0 {
                return Err(Malformed::Form);
            }
            context.reserve(runs.min(input.left()));
            let mut end = 0;
            for index in 0..runs {
                let first = if index == 0 && head % 2 == 1 { Some(1) } else { input.number()?.checked_add(end + 2) };
                let length = input.number()?;
                let last = first.and_then(|first| first.checked_add(length)).filter(|last| *last <= Dot::LAST_COUNTER);
                let (Some(first), Some(last)) = (first, last) else { return Err(Malformed::Number) };
                total = total.checked_add(length + 1).ok_or(Malformed::Number)?;
                context.append(Run { replica, first, last });
                end = last;
            }
        }
        Ok(context)
    }
}
