//! The context of a set as bytes. A delta names many single dots, those that are gone: they take about a byte each.
//!
//! A gap is written with its lowest `k` bits as they are and the rest in Elias gamma code, where 2^k is about the mean distance of the
//! replica's runs: both sides know it, because the first dot, the last one and how many runs there are come first.

use std::num::NonZero;

use super::{
    Malformed, Reader,
    bits::{BitReader, BitWriter},
    put_count, put_number, put_rising,
};
use crate::{Context, Dot, ReplicaId, context::Run};

/// Bits behind the highest of the greatest number in gamma code.
const WIDEST: u32 = 44;

pub(super) fn put_seen(context: &Context, out: &mut Vec<u8>) {
    let of_replicas = || context.runs().chunk_by(|one, next| one.replica == next.replica);
    put_count(out, of_replicas().count());
    let mut previous = None;
    for runs in of_replicas() {
        let ([first, ..], [.., last]) = (runs, runs) else { continue };
        let id = u64::from(first.replica.0);
        put_rising(out, previous, id);
        previous = Some(id);
        put_count(out, 2 * runs.len() + usize::from(first.first == 1));
        if first.first > 1 {
            put_number(out, first.first - 2);
        }
        let span = last.last - first.first;
        put_number(out, span);
        let plain = plain_bits(span, runs.len());
        let mut bits = BitWriter::new(out);
        for pair in runs.windows(2) {
            bits.put_gamma(from_one(pair[0].last - pair[0].first));
            let gap = pair[1].first - pair[0].last - 2;
            bits.put_gamma(from_one(gap >> plain));
            bits.put(gap & ((1 << plain) - 1), plain);
        }
        bits.finish();
    }
}

pub(super) fn take_seen(input: &mut Reader<'_>) -> Result<Context, Malformed> {
    let mut context = Context::new();
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
        let mut first = if head % 2 == 1 { 1 } else { input.number()?.checked_add(2).ok_or(Malformed::Number)? };
        let span = input.number()?;
        let last = first.checked_add(span).filter(|last| *last <= Dot::LAST_COUNTER).ok_or(Malformed::Number)?;
        let plain = plain_bits(span, runs);
        // A run behind the first takes two bits or more.
        context.reserve(runs.min(4 * input.left() + 1));
        let mut bits = BitReader::new(input);
        for _ in 1..runs {
            // A run mostly has fewer bits than one look gives.
            bits.fill();
            let end = first + (bits.take_gamma(WIDEST)? - 1);
            context.push(Run { replica, first, last: end });
            let gap = (bits.take_gamma(WIDEST)? - 1).checked_mul(1 << plain).ok_or(Malformed::Number)? | bits.take(plain)?;
            first = gap.checked_add(end + 2).filter(|first| *first <= last).ok_or(Malformed::Number)?;
        }
        bits.finish()?;
        context.push(Run { replica, first, last });
        // At least as many as there are.
        total = total.checked_add(span + 1).ok_or(Malformed::Number)?;
    }
    Ok(context)
}

/// How many bits of a gap are written as they are.
fn plain_bits(span: u64, runs: usize) -> u32 {
    let runs = u64::try_from(runs.max(1)).unwrap_or(u64::MAX);
    (span / runs).checked_ilog2().unwrap_or(0).min(31)
}

/// Gamma code starts with 1.
fn from_one(number: u64) -> NonZero<u64> {
    NonZero::<u64>::MIN.saturating_add(number)
}
