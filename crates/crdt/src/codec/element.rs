//! The elements of sets, each written as its difference from the one before.

use std::{borrow::Borrow, fmt::Debug, hash::Hash, sync::Arc};

use super::{Malformed, Reader, put_count, put_rising};

/// What a set can hold that is sent. Elements are written in order.
pub trait Element: Ord + Hash + Clone + Borrow<Self::Key> {
    /// What it is found by.
    type Key: Hash + Eq + ?Sized;
    /// Many of them as they are read, without an allocation for each.
    type Keys: Keys<Key = Self::Key>;

    /// The first byte of a set of these.
    const SET_VERSION: u8;
    /// The first byte of the version before, which is still read.
    const OLD_SET_VERSION: u8;

    /// Appends the element, which comes after `previous`.
    fn put(&self, previous: Option<&Self>, out: &mut Vec<u8>);

    /// The element with this key.
    fn from_key(key: &Self::Key) -> Self;
}

/// Elements' keys, read one after the other.
pub trait Keys: Debug {
    /// One of them.
    type Key: ?Sized;

    /// None, and room for so many.
    fn with_capacity(count: usize) -> Self;

    /// Takes the next one.
    ///
    /// # Errors
    /// [`Malformed`], also when it does not sort after the one before.
    fn take(&mut self, input: &mut Reader<'_>) -> Result<(), Malformed>;

    /// One that was taken.
    fn key(&self, index: usize) -> &Self::Key;
}

/// Bytes of a text to make room for.
const USUAL: usize = 16;

/// Texts behind one another.
#[derive(Debug)]
pub struct Texts {
    all: String,
    ends: Vec<usize>,
}

impl Texts {
    fn range(&self, index: usize) -> std::ops::Range<usize> {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[index]
    }
}

impl Keys for Texts {
    type Key = str;

    fn with_capacity(count: usize) -> Self {
        Self { all: String::with_capacity(count * USUAL), ends: Vec::with_capacity(count) }
    }

    fn take(&mut self, input: &mut Reader<'_>) -> Result<(), Malformed> {
        let previous = self.ends.len().checked_sub(1).map(|last| self.range(last));
        let start = previous.as_ref().map_or(0, |previous| previous.start);
        let (shared, added) = take_difference(previous.map(|previous| &self.all[previous]), input)?;
        let end = start + shared;
        match str::from_utf8(added) {
            Ok(added) if self.all.is_char_boundary(end) => {
                self.all.extend_from_within(start..end);
                self.all.push_str(added);
            }
            // The texts differ in the middle of a character.
            _ => {
                let text = [&self.all.as_bytes()[start..end], added].concat();
                self.all.push_str(str::from_utf8(&text).map_err(|_| Malformed::Text)?);
            }
        }
        self.ends.push(self.all.len());
        Ok(())
    }

    fn key(&self, index: usize) -> &str {
        &self.all[self.range(index)]
    }
}

impl Keys for Vec<u64> {
    type Key = u64;

    fn with_capacity(count: usize) -> Self {
        Self::with_capacity(count)
    }

    fn take(&mut self, input: &mut Reader<'_>) -> Result<(), Malformed> {
        self.push(input.rising(self.last().copied())?);
        Ok(())
    }

    fn key(&self, index: usize) -> &u64 {
        &self[index]
    }
}

impl Element for String {
    type Key = str;
    type Keys = Texts;

    const SET_VERSION: u8 = 0x22;
    const OLD_SET_VERSION: u8 = 0x21;

    fn put(&self, previous: Option<&Self>, out: &mut Vec<u8>) {
        put_text_after(previous.map(Self::as_str), self, out);
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

    fn from_key(key: &str) -> Self {
        key.into()
    }
}

impl Element for u64 {
    type Key = Self;
    type Keys = Vec<Self>;

    const SET_VERSION: u8 = 0x32;
    const OLD_SET_VERSION: u8 = 0x31;

    fn put(&self, previous: Option<&Self>, out: &mut Vec<u8>) {
        put_rising(out, previous.copied(), *self);
    }

    fn from_key(key: &Self) -> Self {
        *key
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

/// Takes a text that sorts after the previous one.
pub(super) fn take_text_after(previous: Option<&str>, input: &mut Reader<'_>) -> Result<String, Malformed> {
    let (shared, added) = take_difference(previous, input)?;
    let previous = previous.unwrap_or_default().as_bytes();
    String::from_utf8([&previous[..shared], added].concat()).map_err(|_| Malformed::Text)
}

/// Takes what a text shares with the previous one and what it adds: it sorts after that one and shares no more with it than is said.
fn take_difference<'a>(previous: Option<&str>, input: &mut Reader<'a>) -> Result<(usize, &'a [u8]), Malformed> {
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
