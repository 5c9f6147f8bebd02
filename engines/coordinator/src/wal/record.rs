//! How a batch looks on disk. Pure.
//!
//! ```text
//! 0      4        8           16            20            24         32
//! magic  length   sequence    payload sum   header sum    zeros      items ... zeros up to a multiple of 32
//! item: kind (1) index (8) length (4) bytes
//! ```
//! Numbers are little endian, sums are CRC32C. The header's sum covers where the batch lies, so a batch that was written elsewhere is not
//! taken for one. As batches are aligned, a header never spans two sectors: it is there as a whole or not at all.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::Item;

/// What a disk writes as a whole.
pub const SECTOR: usize = 512;
/// Batches begin at multiples of this.
pub const ALIGNMENT: usize = 32;
pub(super) const HEADER: usize = 32;
const MAGIC: u32 = u32::from_le_bytes(*b"CWAL");
const ITEM: usize = 13;

/// The head of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) sequence: u64,
    pub(super) length: usize,
    sum: u32,
}

fn header_sum(header: &[u8], segment: u64, offset: u64) -> u32 {
    let sum = crc32c::crc32c(&header[..20]);
    crc32c::crc32c_append(crc32c::crc32c_append(sum, &segment.to_le_bytes()), &offset.to_le_bytes())
}

impl Header {
    /// The header at `bytes`, if there is one that was written for this place.
    pub(super) fn read(bytes: &[u8], segment: u64, offset: u64) -> Option<Self> {
        let header = bytes.get(..HEADER)?;
        let mut fields = header;
        let (magic, length, sequence) = (fields.get_u32_le(), fields.get_u32_le(), fields.get_u64_le());
        let (sum, own, rest) = (fields.get_u32_le(), fields.get_u32_le(), fields.get_u64_le());
        let is_whole = magic == MAGIC && rest == 0 && own == header_sum(header, segment, offset);
        is_whole.then_some(Self { sequence, length: usize::try_from(length).ok()?, sum })
    }

    /// Whether `payload` is what was written under this header.
    pub(super) fn covers(&self, payload: &[u8]) -> bool {
        payload.len() == self.length && crc32c::crc32c(payload) == self.sum
    }

    /// Bytes of the batch with header and padding.
    pub(super) fn extent(&self) -> usize {
        padded(HEADER + self.length)
    }
}

/// The next place where a batch may begin.
pub(super) fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

/// Bytes that an item takes in a batch.
pub(super) fn size(item: &Item) -> usize {
    let bytes = match item {
        Item::Entry(_, bytes) | Item::Vote(bytes) | Item::Committed(bytes) | Item::Purge(_, bytes) => bytes.len(),
        Item::Truncate(_) => 0,
    };
    ITEM + bytes
}

/// The batch as it is written at `offset` of `segment`.
pub(super) fn encode<'a>(items: impl Iterator<Item = &'a Item>, sequence: u64, segment: u64, offset: u64, out: &mut BytesMut) {
    out.clear();
    out.put_bytes(0, HEADER);
    for item in items {
        let (kind, index, bytes): (u8, u64, &[u8]) = match item {
            Item::Entry(index, bytes) => (1, *index, bytes),
            Item::Vote(bytes) => (2, 0, bytes),
            Item::Committed(bytes) => (3, 0, bytes),
            Item::Truncate(index) => (4, *index, &[]),
            Item::Purge(index, bytes) => (5, *index, bytes),
        };
        out.put_u8(kind);
        out.put_u64_le(index);
        out.put_u32_le(u32::try_from(bytes.len()).expect("requests are limited far below 4 GiB"));
        out.put_slice(bytes);
    }
    let length = u32::try_from(out.len() - HEADER).expect("batches are limited far below 4 GiB");
    let sum = crc32c::crc32c(&out[HEADER..]);
    let mut header = &mut out[..HEADER];
    header.put_u32_le(MAGIC);
    header.put_u32_le(length);
    header.put_u64_le(sequence);
    header.put_u32_le(sum);
    let own = header_sum(&out[..HEADER], segment, offset);
    out[20..24].copy_from_slice(&own.to_le_bytes());
    out.put_bytes(0, padded(out.len()) - out.len());
}

/// The items of a payload whose sum was right; none when it makes no sense all the same.
pub(super) fn decode(mut payload: Bytes) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    while payload.has_remaining() {
        if payload.remaining() < ITEM {
            return None;
        }
        let (kind, index) = (payload.get_u8(), payload.get_u64_le());
        let length = usize::try_from(payload.get_u32_le()).ok().filter(|length| *length <= payload.remaining())?;
        // A copy: one entry that is kept must not keep its whole segment in memory.
        let bytes = Bytes::copy_from_slice(&payload.split_to(length));
        items.push(match kind {
            1 => Item::Entry(index, bytes),
            2 => Item::Vote(bytes),
            3 => Item::Committed(bytes),
            4 => Item::Truncate(index),
            5 => Item::Purge(index, bytes),
            _ => return None,
        });
    }
    Some(items)
}
