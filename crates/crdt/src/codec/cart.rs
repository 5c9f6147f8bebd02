//! The cart as bytes.

use std::{collections::BTreeMap, num::NonZero};

use super::{
    Malformed, Reader, Wire,
    bits::{BitReader, BitWriter},
    element::{put_text_after, take_text_after},
    numbering::Numbering,
    put_count,
    registers::{put_stamped, put_values, take_stamped, take_values},
};
use crate::{
    Cart, Context, Dot, LwwRegister, SourceId,
    cart::{
        Absorbed, Parts,
        lines::{Contribution, Lines},
    },
    dot_fun::DotFun,
};

/// Flags of the parts that most carts do not have.
const ADDRESS: u8 = 1;
const NOTE: u8 = 2;
const ABSORBED: u8 = 4;

/// Bits behind the highest of the largest change's code, which is that of `i32::MIN`: 2^32.
const WIDEST_CHANGE: u32 = 32;
/// The same of the largest quantity, `u32::MAX`.
const WIDEST_QUANTITY: u32 = 31;

impl Wire for Cart {
    const VERSION: u8 = 0x72;

    fn put(&self, out: &mut Vec<u8>) {
        let Parts { lines, address, context, note, absorbed } = self.parts();
        let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
        out.push(flag(!address.is_empty(), ADDRESS) | flag(note.latest().is_some(), NOTE) | flag(!absorbed.is_empty(), ABSORBED));
        context.put(out);
        let numbering = Numbering::of(context);
        put_lines(lines, &numbering, out);
        if !address.is_empty() {
            put_values(address, &numbering, out);
        }
        note.latest().into_iter().for_each(|stamped| put_stamped(stamped, out));
        if !absorbed.is_empty() {
            put_count(out, absorbed.len());
        }
        for (source, Absorbed { lines, context }) in absorbed {
            out.extend_from_slice(&source.0.to_be_bytes());
            context.put(out);
            put_lines(lines, &Numbering::of(context), out);
        }
    }

    fn take(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        let flags = input.byte()?;
        if flags & !(ADDRESS | NOTE | ABSORBED) != 0 {
            return Err(Malformed::Form);
        }
        let context = Context::take(input)?;
        let numbering = Numbering::of(&context);
        let lines = take_lines(&numbering, input)?;
        let address = if flags & ADDRESS != 0 { non_empty(take_values(&numbering, input)?, DotFun::is_empty)? } else { DotFun::default() };
        are_unique(lines.dots().chain(address.dots()))?;
        let note = if flags & NOTE != 0 { Some(take_stamped(input)?) } else { None };
        let absorbed = if flags & ABSORBED != 0 { non_empty(take_absorbed(input)?, BTreeMap::is_empty)? } else { BTreeMap::new() };
        Ok(Self::from_parts(Parts { lines, address, context, note: LwwRegister::from_latest(note), absorbed }))
    }
}

fn put_lines(lines: &Lines, numbering: &Numbering<'_>, out: &mut Vec<u8>) {
    put_count(out, lines.len());
    let mut previous = None;
    for (sku, _) in lines.iter() {
        put_text_after(previous, sku, out);
        previous = Some(sku);
    }
    let mut bits = BitWriter::new(out);
    for (_, line) in lines.iter() {
        for (index, (dot, contribution)) in line.iter().enumerate() {
            numbering.put(&mut bits, dot, index + 1 == line.len());
            put_contribution(*contribution, &mut bits);
        }
    }
    bits.finish();
}

fn take_lines(numbering: &Numbering<'_>, input: &mut Reader<'_>) -> Result<Lines, Malformed> {
    let mut skus: Vec<String> = Vec::new();
    for _ in 0..input.count()? {
        skus.push(take_text_after(skus.last().map(String::as_str), input)?);
    }
    let mut bits = BitReader::new(input);
    let mut lines = Vec::with_capacity(skus.len());
    for sku in skus {
        let line = numbering.take(&mut bits, |bits, dot| Ok((dot, take_contribution(bits)?)))?;
        lines.push((sku, line.into_iter().collect()));
    }
    bits.finish()?;
    Ok(lines.into_iter().collect())
}

fn take_absorbed(input: &mut Reader<'_>) -> Result<BTreeMap<SourceId, Absorbed>, Malformed> {
    let mut absorbed = BTreeMap::new();
    for _ in 0..input.count()? {
        let bytes = input.bytes(16)?.try_into().map_err(|_| Malformed::Short)?;
        let source = SourceId(u128::from_be_bytes(bytes));
        if absorbed.last_key_value().is_some_and(|(last, _)| *last >= source) {
            return Err(Malformed::Order);
        }
        let context = non_empty(Context::take(input)?, Context::is_empty)?;
        let lines = take_lines(&Numbering::of(&context), input)?;
        are_unique(lines.dots())?;
        absorbed.insert(source, Absorbed { lines, context });
    }
    Ok(absorbed)
}

fn non_empty<T>(value: T, is_empty: impl Fn(&T) -> bool) -> Result<T, Malformed> {
    if is_empty(&value) { Err(Malformed::Form) } else { Ok(value) }
}

fn are_unique(dots: impl Iterator<Item = Dot>) -> Result<(), Malformed> {
    let mut dots: Vec<Dot> = dots.collect();
    dots.sort_unstable();
    if dots.windows(2).all(|pair| pair[0] != pair[1]) { Ok(()) } else { Err(Malformed::Dot) }
}

fn put_contribution(contribution: Contribution, bits: &mut BitWriter<'_>) {
    match contribution {
        Contribution::Set(quantity) => {
            bits.put(0, 1);
            bits.put_gamma(quantity.into());
        }
        Contribution::Change(by) => {
            bits.put(1, 1);
            bits.put_gamma(change_code(by));
        }
    }
}

fn take_contribution(bits: &mut BitReader<'_, '_>) -> Result<Contribution, Malformed> {
    if bits.take(1)? == 0 {
        let quantity = u32::try_from(bits.take_gamma(WIDEST_QUANTITY)?).map_err(|_| Malformed::Number)?;
        return NonZero::new(quantity).map(Contribution::Set).ok_or(Malformed::Number);
    }
    change(bits.take_gamma(WIDEST_CHANGE)?).map(Contribution::Change)
}

/// Small changes get small codes: 1, -1, 2, -2 .. are 1, 2, 3, 4 ..
fn change_code(by: NonZero<i32>) -> NonZero<u64> {
    let twice = 2 * u64::from(by.get().unsigned_abs());
    NonZero::new(if by.get() > 0 { twice - 1 } else { twice }).expect("no change is zero")
}

/// The change with a code from 1 up.
fn change(code: u64) -> Result<NonZero<i32>, Malformed> {
    let size = i64::try_from(code.div_ceil(2)).map_err(|_| Malformed::Number)?;
    let by = i32::try_from(if code % 2 == 1 { size } else { -size }).map_err(|_| Malformed::Number)?;
    NonZero::new(by).ok_or(Malformed::Number)
}
