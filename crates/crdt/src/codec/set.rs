//! The observed-remove set as bytes.

use super::{
    Element, Keys as _, Limits, Malformed, Reader, Wire,
    bits::{BitReader, BitWriter},
    numbering::{Numbering, Width},
    opened, put_count,
    seen::{put_seen, take_seen},
};
use crate::{Context, OrSet, or_set::News};

impl<E: Element> Wire for OrSet<E> {
    const VERSION: u8 = E::SET_VERSION;
    const OLD_VERSION: Option<u8> = Some(E::OLD_SET_VERSION);

    fn put(&self, out: &mut Vec<u8>) {
        put_seen(self.context(), out);
        let entries = self.entries();
        put_count(out, entries.len());
        let mut previous = None;
        for (element, _) in &entries {
            element.put(previous, out);
            previous = Some(*element);
        }
        let numbering = Numbering::of(self.context());
        let mut bits = BitWriter::new(out);
        for (_, dots) in entries {
            for (index, dot) in dots.iter().enumerate() {
                numbering.put(&mut bits, *dot, index + 1 == dots.len());
            }
        }
        bits.finish();
    }

    fn take(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        let seen = take_seen(input)?;
        take_set(&seen, input)
    }

    fn take_old(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        let seen = Context::take(input)?;
        take_set(&seen, input)
    }
}

fn take_set<E: Element>(seen: &Context, input: &mut Reader<'_>) -> Result<OrSet<E>, Malformed> {
    let mut set = OrSet::new();
    let (news, held) = take_news(&set, seen, input)?;
    set.take_in(seen, |_, number| held.has(number), news);
    Ok(set)
}

impl<E: Element> OrSet<E> {
    /// Joins what [`Wire::encode`] made these bytes of: decoding and [`OrSet::merge`] in one, without a set in between. After an error nothing
    /// has changed.
    ///
    /// # Errors
    /// As [`Wire::decode`].
    pub fn merge_bytes(&mut self, bytes: &[u8], limits: Limits) -> Result<(), Malformed> {
        let (mut input, is_old) = opened::<Self>(bytes, limits)?;
        let seen = if is_old { Context::take(&mut input)? } else { take_seen(&mut input)? };
        let (news, held) = take_news(self, &seen, &mut input)?;
        if !input.is_empty() {
            return Err(Malformed::Trailing);
        }
        self.take_in(&seen, |_, number| held.has(number), news);
        Ok(())
    }
}

/// Takes the elements and their dots: what of them is new to `set`, and the numbers of all dots that are held.
fn take_news<E: Element>(set: &OrSet<E>, seen: &Context, input: &mut Reader<'_>) -> Result<(News<E>, Numbers), Malformed> {
    let count = input.count()?;
    // No element takes less than a byte.
    let most = count.min(input.left());
    let mut news = set.news(seen, most);
    let mut slots = Vec::with_capacity(most);
    E::Keys::take(count, input, |name, long| slots.push(set.slot(&mut news, name, long)))?;
    // Each has a dot.
    input.entries(u64::try_from(count).unwrap_or(u64::MAX))?;
    let total = seen.len();
    let width = Width::of(total);
    let mut held = Numbers::new(total, count);
    let mut bits = BitReader::new(input);
    for slot in slots {
        let mut least = 0;
        loop {
            let (number, is_last) = width.take(&mut bits)?;
            if number < least {
                return Err(Malformed::Order);
            }
            if number >= total || !held.insert(number) {
                return Err(Malformed::Dot);
            }
            least = number + 1;
            news.add(slot, number);
            if is_last {
                break;
            }
            bits.entry()?;
        }
    }
    bits.finish()?;
    held.sort().then_some((news, held)).ok_or(Malformed::Dot)
}

/// A set of dots' numbers.
#[derive(Debug)]
enum Numbers {
    /// A bit for each number there can be.
    Bits(Vec<u64>),
    /// Where there can be many more than there are: one after the other, sorted at the end.
    List(Vec<u64>),
}

impl Numbers {
    /// So many bits may be kept for each number that is there: clearing them is cheaper than sorting.
    const BITS: u64 = 1024;

    /// For `count` numbers, or some more, below `total`.
    fn new(total: u64, count: usize) -> Self {
        let most = Self::BITS.saturating_mul(u64::try_from(count).unwrap_or(u64::MAX));
        match usize::try_from(total.div_ceil(64)) {
            Ok(words) if total <= most => Self::Bits(vec![0; words]),
            _ => Self::List(Vec::with_capacity(count)),
        }
    }

    /// Puts in a number below the total; `false` when it is known to be there.
    fn insert(&mut self, number: u64) -> bool {
        match self {
            Self::Bits(bits) => {
                let Some(word) = place(number).and_then(|index| bits.get_mut(index)) else { return false };
                let bit = 1 << (number % 64);
                let is_new = *word & bit == 0;
                *word |= bit;
                is_new
            }
            Self::List(numbers) => {
                numbers.push(number);
                true
            }
        }
    }

    /// Before the first look-up; `false` when a number is there twice.
    fn sort(&mut self) -> bool {
        match self {
            Self::Bits(_) => true,
            Self::List(numbers) => {
                numbers.sort_unstable();
                numbers.windows(2).all(|pair| pair[0] != pair[1])
            }
        }
    }

    fn has(&self, number: u64) -> bool {
        match self {
            Self::Bits(bits) => place(number).and_then(|index| bits.get(index)).is_some_and(|word| word >> (number % 64) & 1 == 1),
            Self::List(numbers) => numbers.binary_search(&number).is_ok(),
        }
    }
}

fn place(number: u64) -> Option<usize> {
    usize::try_from(number / 64).ok()
}
