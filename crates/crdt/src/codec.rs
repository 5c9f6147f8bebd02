//! Every type as bytes, and back. Equal states have equal bytes, so a digest of them tells whether two replicas agree.
//!
//! ```text
//! varint     LEB128, shortest form                    number   a varint
//! ids        first, then gap - 1 to the one before    count    a varint, taken from the limit of entries
//!
//! Context    count of replicas, each: id, 2 * runs + (1 if the first run starts at 1), runs
//!            run: gap to the run before (left out by a first run from 1), length - 1
//! dot        its number among all dots of the context, in as few bits as the highest needs: none if there is one dot only
//! texts      sorted; each: a byte with what to drop from the end of the one before and what to add, 15 each at most, the rest of
//!            either as a varint, the bytes to add
//! seen       count of replicas, each: id, 2 * runs + (1 if the first run starts at 1), first dot - 2 (left out if it is 1), last dot - first dot;
//!            bits, for each run but the last: length in gamma code, gap - 1 to the next run: all but its lowest k bits, plus 1, in gamma code,
//!            then those; k is the logarithm of (last dot - first dot) / runs, 31 at most
//! OrSet      seen, count, elements as texts or ids; bits: for each element its dots, each behind a bit that is 0 before the last one
//! PnCounter  count, each: id, plus, minus
//! LWW        0, or: 1, timestamp, replica, length, text
//! MV         context, count, each: gap of its dot's number, length, text
//! lines      count, SKUs as texts; bits: for each line its contributions as above, each dot followed by 0 and a quantity that was set, or by 1
//!            and a change, in Elias gamma code
//! Cart       flags (1 address, 2 note, 4 absorbed), context, lines, then what is flagged: as MV without its context; as LWW without its 1;
//!            count, each: 16 bytes of source id, context, lines
//! ```
//!
//! The version of `OrSet` before this one had a context in place of what is seen.
//!
//! The first byte names type and version. **To change a format, give the type a new version byte** and keep reading the old one for as
//! long as stored states or the other region may hold it; the frozen bytes in the tests fail until then.
//!
//! Bytes from outside: whatever they are, decoding ends with a value or with [`Malformed`], never a panic, and takes memory in proportion
//! to [`Limits`]. One value has one form: what is accepted is encoded to the same bytes again, unless it is of an older version.

mod bits;
mod cart;
mod context;
mod counter;
mod element;
mod keys;
mod numbering;
mod reader;
mod registers;
mod seen;
mod set;
#[cfg(test)]
mod tests;

pub use element::Element;
pub use keys::{Keys, Numbers, Texts};
pub use reader::Reader;

pub use crate::or_set::Name;

/// Bytes that are no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The first byte belongs to another type, or to a version not known here.
    #[error("unknown type or version {0:#04x}")]
    Version(u8),
    /// They end too early.
    #[error("the encoding is too short")]
    Short,
    /// More bytes follow the value.
    #[error("bytes follow the value")]
    Trailing,
    /// A number is too large for its place, or written longer than need be.
    #[error("a number is too large or not in its shortest form")]
    Number,
    /// Entries are out of order or repeated, or share a longer prefix than they say.
    #[error("entries are not in their one order")]
    Order,
    /// Something is written that is left out when it is empty, or filled with other bits than zeros.
    #[error("an empty entry or padding is not in its one form")]
    Form,
    /// A dot is not in the context, or stands in two places.
    #[error("a dot is unknown to the context or used twice")]
    Dot,
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// The input, or the texts in it when spelled out, are longer than [`Limits::bytes`].
    #[error("more bytes than the limit")]
    TooManyBytes,
    /// More than [`Limits::entries`].
    #[error("more entries than the limit")]
    TooManyEntries,
    /// A text is longer than [`Limits::text`].
    #[error("a text is longer than the limit")]
    TextTooLong,
}

/// How much a decoder takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the input, and bytes of all texts in it together once spelled out.
    pub bytes: usize,
    /// Runs of dots, elements, dots, lines, replicas' totals and absorbed carts, together.
    pub entries: usize,
    /// Bytes of one text.
    pub text: usize,
}

impl Default for Limits {
    /// 4 MiB, as much as a gRPC message holds by default; a quarter million entries, which such a message has at some 16 bytes each; texts
    /// of 1 KiB, more than any SKU, address or note has.
    fn default() -> Self {
        Self { bytes: 4 << 20, entries: 1 << 18, text: 1 << 10 }
    }
}

/// A type with an encoding.
pub trait Wire: Sized {
    /// The first byte: the type in the upper half, its version in the lower.
    const VERSION: u8;
    /// The first byte of the version before, where that is still read.
    const OLD_VERSION: Option<u8> = None;

    /// Appends the value without its first byte.
    fn put(&self, out: &mut Vec<u8>);

    /// Takes a value without its first byte.
    ///
    /// # Errors
    /// [`Malformed`].
    fn take(input: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// Takes a value of the version before without its first byte.
    ///
    /// # Errors
    /// [`Malformed`].
    fn take_old(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::take(input)
    }

    /// The value as bytes.
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![Self::VERSION];
        self.put(&mut out);
        out
    }

    /// The value that [`Self::encode`] made these bytes of.
    ///
    /// # Errors
    /// [`Malformed`] for any other bytes, and for values past `limits`.
    fn decode(bytes: &[u8], limits: Limits) -> Result<Self, Malformed> {
        let (mut input, is_old) = opened::<Self>(bytes, limits)?;
        let value = if is_old { Self::take_old(&mut input)? } else { Self::take(&mut input)? };
        if input.is_empty() { Ok(value) } else { Err(Malformed::Trailing) }
    }
}

/// The input behind the first byte, which must be one of `T`, and whether it is the older one.
fn opened<T: Wire>(bytes: &[u8], limits: Limits) -> Result<(Reader<'_>, bool), Malformed> {
    let mut input = Reader::new(bytes, limits)?;
    match input.byte()? {
        version if version == T::VERSION => Ok((input, false)),
        version if Some(version) == T::OLD_VERSION => Ok((input, true)),
        other => Err(Malformed::Version(other)),
    }
}

/// Appends a number as LEB128: seven bits a byte, the lowest first, the top bit on all but the last.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
}

/// Appends how many there are of something.
fn put_count(out: &mut Vec<u8>, count: usize) {
    put_number(out, u64::try_from(count).expect("a count fits 64 bits"));
}

/// Appends a text behind its length.
fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Appends one of a rising series of ids: the first as it is, the others as the gap to the one before, less one.
fn put_rising(out: &mut Vec<u8>, previous: Option<u64>, next: u64) {
    put_number(out, previous.map_or(next, |previous| next - previous - 1));
}
