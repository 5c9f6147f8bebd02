//! The elements of sets, each written as its difference from the one before.

use std::{hash::Hash, sync::Arc};

use super::{Keys, Malformed, Name, Numbers, Reader, Texts, keys::spelled, put_count, put_rising};

/// What a set can hold that is sent. Elements are written in order.
pub trait Element: Ord + Clone {
    /// What it is found by.
    type Key: Hash + Eq + ?Sized;
    /// Reads them, without an allocation for each.
    type Keys: Keys<Key = Self::Key>;

    /// The first byte of a set of these.
    const SET_VERSION: u8;
    /// The first byte of the version before, which is still read.
    const OLD_SET_VERSION: u8;

    /// Appends the element, which comes after `previous`.
    fn put(&self, previous: Option<&Self>, out: &mut Vec<u8>);

    /// What this one is found by.
    fn key(&self) -> &Self::Key;

    /// The name of a key.
    fn name(key: &Self::Key) -> Name;

    /// The element whose key is all in this name.
    fn from_name(name: Name) -> Self;

    /// The element with this key.
    fn from_key(key: &Self::Key) -> Self;
}

impl Element for String {
    type Key = str;
    type Keys = Texts;

    const SET_VERSION: u8 = 0x22;
    const OLD_SET_VERSION: u8 = 0x21;

    fn put(&self, previous: Option<&Self>, out: &mut Vec<u8>) {
        put_text_after(previous.map(Self::as_str), self, out);
    }

    fn key(&self) -> &str {
        self
    }

    fn name(key: &str) -> Name {
        Name::of_text(key)
    }

    fn from_name(name: Name) -> Self {
        spelled(name).expect("the name of a text")
    }

    fn from_key(key: &str) -> Self {
        key.to_owned()
    }
}

/// The same bytes as a set of `String`; cheaper to clone.
impl Element for Arc<str> {
    type Key = str;
    type Keys = Texts;

    const SET_VERSION: u8 = String::SET_VERSION;
    const OLD_SET_VERSION: u8 = String::OLD_SET_VERSION;

    fn put(&self, previous: Option<&Self>, out: &mut Vec<u8>) {
        put_text_after(previous.map(|text| &**text), self, out);
    }

    fn key(&self) -> &str {
        self
    }

    fn name(key: &str) -> Name {
        Name::of_text(key)
    }

    fn from_name(name: Name) -> Self {
        spelled(name).expect("the name of a text").into()
    }

    fn from_key(key: &str) -> Self {
        key.into()
    }
}

impl Element for u64 {
    type Key = Self;
    type Keys = Numbers;

    const SET_VERSION: u8 = 0x32;
    const OLD_SET_VERSION: u8 = 0x31;

    fn put(&self, previous: Option<&Self>, out: &mut Vec<u8>) {
        put_rising(out, previous.copied(), *self);
    }

    fn key(&self) -> &Self {
        self
    }

    fn name(key: &Self) -> Name {
        Name::of_number(*key)
    }

    fn from_name(name: Name) -> Self {
        name.number()
    }

    fn from_key(key: &Self) -> Self {
        *key
    }
}

/// What half a byte holds; a higher number follows as the difference.
pub(super) const HALF: usize = 15;

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

/// Takes a text that sorts after the previous one.
pub(super) fn take_text_after(previous: Option<&str>, input: &mut Reader<'_>) -> Result<String, Malformed> {
    let (shared, added) = take_difference(previous, input)?;
    let previous = previous.unwrap_or_default().as_bytes();
    String::from_utf8([&previous[..shared], added].concat()).map_err(|_| Malformed::Text)
}

/// Takes what a text shares with the previous one and what it adds: it sorts after that one and shares no more with it than is said.
pub(super) fn take_difference<'a>(previous: Option<&str>, input: &mut Reader<'a>) -> Result<(usize, &'a [u8]), Malformed> {
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
    if is_after { Ok((shared, added)) } else { Err(Malformed::Order) }
}
