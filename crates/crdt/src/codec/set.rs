//! The observed-remove set as bytes.

use super::{
    Element, Limits, Malformed, Reader, Wire,
    bits::{BitReader, BitWriter},
    element::Keys as _,
    numbering::{Group, Numbering},
    opened, put_count,
    seen::{put_seen, take_seen},
};
use crate::{Context, Dot, OrSet, or_set::Dots};

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
        let context = take_seen(input)?;
        take_elements(context, input)
    }

    fn take_old(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        let context = Context::take(input)?;
        take_elements(context, input)
    }
}

fn take_elements<E: Element>(context: Context, input: &mut Reader<'_>) -> Result<OrSet<E>, Malformed> {
    let read = Entries::<E>::take(&Numbering::of(&context), input)?;
    Ok(OrSet::of(read.iter().map(|(key, dots)| (E::from_key(key), Dots::from(dots))), context))
}

impl<E: Element> OrSet<E> {
    /// Joins what [`Wire::encode`] made these bytes of: decoding and [`OrSet::merge`] in one, without a set in between. After an error nothing
    /// has changed.
    ///
    /// # Errors
    /// As [`Wire::decode`].
    pub fn merge_bytes(&mut self, bytes: &[u8], limits: Limits) -> Result<(), Malformed> {
        let (mut input, is_old) = opened::<Self>(bytes, limits)?;
        let context = if is_old { Context::take(&mut input)? } else { take_seen(&mut input)? };
        let numbering = Numbering::of(&context);
        let read = Entries::<E>::take(&numbering, &mut input)?;
        if !input.is_empty() {
            return Err(Malformed::Trailing);
        }
        let holds = |run, counter| read.held.has(numbering.number_in(run, counter));
        self.join::<E::Key, _, _>(&context, holds, read.iter(), E::from_key);
        Ok(())
    }
}

/// Elements with their dots, as they are read: in order, with no allocation for each.
#[derive(Debug)]
struct Entries<E: Element> {
    keys: E::Keys,
    dots: Vec<Dot>,
    /// Where each element's dots end.
    ends: Vec<usize>,
    held: Numbers,
}

impl<E: Element> Entries<E> {
    fn take(numbering: &Numbering<'_>, input: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = input.count()?;
        // No key takes less than a byte.
        let mut keys = E::Keys::with_capacity(count.min(input.left()));
        for _ in 0..count {
            keys.take(input)?;
        }
        // So many keys were read: the memory is in proportion to the input.
        let (mut dots, mut ends) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut held = Numbers::new(numbering.total(), count);
        let mut bits = BitReader::new(input);
        let mut group = Group::default();
        for _ in 0..count {
            group.begin();
            loop {
                let (number, dot, is_last) = numbering.take_next(&mut group, &mut bits)?;
                if !held.insert(number) {
                    return Err(Malformed::Dot);
                }
                dots.push(dot);
                if is_last {
                    break;
                }
            }
            ends.push(dots.len());
        }
        bits.finish()?;
        held.sort().then_some(Self { keys, dots, ends, held }).ok_or(Malformed::Dot)
    }

    fn iter(&self) -> impl Iterator<Item = (&E::Key, &[Dot])> {
        self.ends.iter().enumerate().map(|(index, end)| {
            let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
            (self.keys.key(index), &self.dots[start..*end])
        })
    }
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
