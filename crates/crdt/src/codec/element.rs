//! The elements of sets, each written as its difference from the one before.

use std::sync::Arc;

use super::{Malformed, Reader, put_count, put_rising};

/// What a set can hold that is sent. Elements are written in order.
pub trait Element: Ord + Clone {
    /// The first byte of a set of these.
    const SET_VERSION: u8;

    /// Appends the element, which comes after `previous`.
    fn put(&self, previous: Option<&Self>, out: &mut Vec<u8>);

    /// Takes the element after `previous`.
    ///
    /// # Errors
    /// [`Malformed`], also when the element does not sort after `previous`.
    fn take(previous: Option<&Self>, input: &mut Reader<'_>) -> Result<Self, Malformed>;
}

impl Element for String {
    const SET_VERSION: u8 = 0x21;

    fn put(&self, previous: Option<&Self>, out: &mut Vec<u8>) {
        put_text_after(previous.map(Self::as_str), self, out);
    }

    fn take(previous: Option<&Self>, input: &mut Reader<'_>) -> Result<Self, Malformed> {
        take_text_after(previous.map(Self::as_str), input)
    }
}

/// The same bytes as a set of `String`; cheaper to clone, so the better choice for large sets.
impl Element for Arc<str> {
    const SET_VERSION: u8 = String::SET_VERSION;

    fn put(&self, previous: Option<&Self>, out: &mut Vec<u8>) {
        put_text_after(previous.map(|text| &**text), self, out);
    }

    fn take(previous: Option<&Self>, input: &mut Reader<'_>) -> Result<Self, Malformed> {
        take_text_after(previous.map(|text| &**text), input).map(Self::from)
    }
}

impl Element for u64 {
    const SET_VERSION: u8 = 0x31;

    fn put(&self, previous: Option<&Self>, out: &mut Vec<u8>) {
        put_rising(out, previous.copied(), *self);
    }

    fn take(previous: Option<&Self>, input: &mut Reader<'_>) -> Result<Self, Malformed> {
        input.rising(previous.copied())
    }
}

/// What half a byte holds; a higher number follows as the difference.
const HALF: usize = 15;

/// Appends a text as: bytes to drop from the end of the previous one, bytes to add.
pub(super) fn put_text_after(previous: Option<&str>, text: &str, out: &mut Vec<u8>) {
    let previous = previous.unwrap_or_default().as_bytes();
    let shared = previous.iter().zip(text.as_bytes()).take_while(|(old, new)| old == new).count();
    let added = &text.as_bytes()[shared..];
    let lengths = [previous.len() - shared, added.len()];
    let [dropped_half, added_half] = lengths.map(|length| u8::try_from(length.min(HALF)).expect("half a byte"));
    out.push(dropped_half << 4 | added_half);
    for length in lengths {
        if length >= HALF {
            put_count(out, length - HALF);
        }
    }
    out.extend_from_slice(added);
}

/// Takes a text that sorts after the previous one and shares no more with it than was said.
pub(super) fn take_text_after(previous: Option<&str>, input: &mut Reader<'_>) -> Result<String, Malformed> {
    let halves = input.byte()?;
    let mut length = |half: u8| match usize::from(half) {
        HALF => input.length()?.checked_add(HALF).ok_or(Malformed::TextTooLong),
        short => Ok(short),
    };
    let (dropped, added) = (length(halves >> 4)?, length(halves & 0x0f)?);
    let is_first = previous.is_none();
    let previous = previous.unwrap_or_default().as_bytes();
    let shared = previous.len().checked_sub(dropped).ok_or(Malformed::Order)?;
    input.admit_text(shared.saturating_add(added))?;
    let added = input.bytes(added)?;
    // Higher in the first byte that differs, or longer: so the text comes later, and no shorter prefix was given than is shared.
    let is_after = match (added.first(), previous.get(shared)) {
        (Some(new), Some(old)) => new > old,
        (Some(_), None) => true,
        (None, _) => is_first && dropped == 0,
    };
    if !is_after {
        return Err(Malformed::Order);
    }
    String::from_utf8([&previous[..shared], added].concat()).map_err(|_| Malformed::Text)
}
