//! The keys of a set's elements, as they are read: nothing is allocated for each of them.

use super::{
    Malformed, Name, Reader,
    element::{HALF, take_text_after},
};

/// Keys in order, read one after the other.
pub trait Keys {
    /// One of them.
    type Key: ?Sized;

    /// Takes so many. Gives their names to `each`; with the key unless that is all in the name.
    ///
    /// # Errors
    /// [`Malformed`], also when one does not sort after the one before.
    fn take(count: usize, input: &mut Reader<'_>, each: impl FnMut(Name, Option<&Self::Key>)) -> Result<(), Malformed>;
}

/// Numbers.
#[derive(Debug)]
pub struct Numbers;

impl Keys for Numbers {
    type Key = u64;

    fn take(count: usize, input: &mut Reader<'_>, mut each: impl FnMut(Name, Option<&u64>)) -> Result<(), Malformed> {
        let mut last = None;
        for _ in 0..count {
            let number = input.rising(last)?;
            each(Name::of_number(number), None);
            last = Some(number);
        }
        Ok(())
    }
}

/// Texts.
#[derive(Debug)]
pub struct Texts;

impl Keys for Texts {
    type Key = str;

    fn take(count: usize, input: &mut Reader<'_>, mut each: impl FnMut(Name, Option<&str>)) -> Result<(), Malformed> {
        let mut left = count;
        // The last text, unless that is short.
        let mut text = None;
        while left > 0 {
            let next = take_text_after(text.as_deref(), input)?;
            let mut last = Name::of_text(&next);
            each(last, (!last.is_whole()).then_some(&next));
            left -= 1;
            // Most others are short. The copy is kept in registers.
            let mut ahead = *input;
            while left > 0
                && let Some(name) = take_short_after(last, &mut ahead)?
            {
                each(name, None);
                last = name;
                left -= 1;
            }
            *input = ahead;
            text = Some(if last.is_whole() { spelled(last)? } else { next });
        }
        Ok(())
    }
}

/// The text that is all in a name.
pub(super) fn spelled(name: Name) -> Result<String, Malformed> {
    let (bytes, length) = name.text();
    String::from_utf8(bytes[..length].to_vec()).map_err(|_| Malformed::Text)
}

/// As `take_text_after`, when both texts are all in their names and the input goes on for a while behind this one. Otherwise nothing is taken.
#[inline(always)]
fn take_short_after(last: Name, input: &mut Reader<'_>) -> Result<Option<Name>, Malformed> {
    let Some(next) = input.peek() else { return Ok(None) };
    let next = u128::from_be_bytes(*next);
    let (halves, added) = ((next >> 120) as usize, next << 8);
    let (dropped, count) = (halves >> 4, halves & 0x0f);
    if dropped == HALF || count == HALF || !last.is_whole() {
        return Ok(None);
    }
    let shared = last.length().checked_sub(dropped).ok_or(Malformed::Order)?;
    if shared + count > Name::BYTES {
        return Ok(None);
    }
    input.admit_text(shared + count)?;
    let is_after = count > 0 && (dropped == 0 || (added >> 120) as u8 > last.byte(shared));
    if !is_after {
        return Err(Malformed::Order);
    }
    let name = last.changed(shared, added, count);
    if !name.is_ascii() {
        spelled(name)?;
    }
    input.skip(1 + count);
    Ok(Some(name))
}
