//! Reads the log back, and decides what a damaged end means. Pure, but for the files it is given.
//!
//! Only the batch that was being written when the machine stopped may be missing, and nobody has heard of that one. It can look like this:
//! its first sector never came, or some later sector of it never came and still holds the zeros it was made with, or the file ends
//! within it. Everything else is damage: a bad sum although every sector was written, a gap between batches, or anything wrong in
//! a segment that is not the last. A damaged log is refused as a whole, since what is lost may have been acknowledged.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    Disk, Error, Item,
    record::{ALIGNMENT, HEADER, Header, SECTOR, decode},
};

/// What is wrong with a place of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The header is not what was written.
    #[error("a batch's head is not what was written")]
    Head,
    /// The payload is not what was written, and all of it was.
    #[error("a batch is not what was written")]
    Payload,
    /// Later batches are there, and one before them is not.
    #[error("a batch is missing")]
    Gap,
    /// Entries do not follow one another.
    #[error("an entry is missing")]
    Entries,
}

/// A segment of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) first: u64,
    /// The highest entry in it.
    pub(super) last_entry: u64,
}

/// What the log held.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The entries that are left, with the index of the first.
    pub entries: VecDeque<Bytes>,
    /// Index of the first entry, or of the next one when there is none.
    pub first: u64,
    /// The last vote.
    pub vote: Option<Bytes>,
    /// How far it was known to be committed.
    pub committed: Option<Bytes>,
    /// The last entry that was given up.
    pub purged: Option<Bytes>,
    /// Bytes at the end that were never acknowledged and have been cut off.
    pub torn: usize,
    pub(super) sequence: u64,
    pub(super) segments: Vec<Segment>,
    present_from: u64,
    purged_below: u64,
}

impl Recovered {
    /// Takes over one item.
    fn replay(&mut self, item: Item) -> Result<(), Damage> {
        match item {
            Item::Entry(index, bytes) => {
                if self.entries.is_empty() && index > self.first {
                    // Those before it lay in segments that are gone: a purge that comes later must say so.
                    (self.first, self.present_from) = (index, index);
                }
                if index != self.first + self.entries.len() as u64 {
                    return Err(Damage::Entries);
                }
                self.entries.push_back(bytes);
            }
            Item::Vote(bytes) => self.vote = Some(bytes),
            Item::Committed(bytes) => self.committed = Some(bytes),
            Item::Truncate(index) => {
                let kept = usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX);
                self.entries.truncate(kept);
            }
            Item::Purge(index, bytes) => {
                let gone = usize::try_from((index + 1).saturating_sub(self.first)).unwrap_or(usize::MAX);
                self.entries.drain(..gone.min(self.entries.len()));
                self.first = self.first.max(index + 1);
                self.purged_below = index + 1;
                self.purged = Some(bytes);
            }
        }
        Ok(())
    }
}

pub(super) fn name(first: u64) -> String {
    format!("{first:016x}.wal")
}

/// Reads all segments. Cuts a torn end off the last one.
pub(super) fn recover(disk: &mut impl Disk) -> Result<Recovered, Error> {
    let mut firsts: Vec<u64> = disk
        .list()
        .map_err(Error::disk("list the segments"))?
        .iter()
        .filter_map(|name| u64::from_str_radix(name.strip_suffix(".wal")?, 16).ok())
        .collect();
    firsts.sort_unstable();
    let mut recovered = Recovered { sequence: firsts.first().map_or(0, |first| first - 1), ..Recovered::default() };
    let count = firsts.len();
    for (position, first) in firsts.into_iter().enumerate() {
        let segment = name(first);
        let damaged = |offset: usize, damage| Error::Damaged { segment: segment.clone(), offset: offset as u64, damage };
        if first != recovered.sequence + 1 {
            return Err(damaged(0, Damage::Gap));
        }
        let bytes = Bytes::from(disk.read(&segment).map_err(Error::disk(format!("read segment {segment}")))?);
        recovered.segments.push(Segment { first, last_entry: 0 });
        let end = replay(&mut recovered, first, &bytes).map_err(|(offset, damage)| damaged(offset, damage))?;
        if end == bytes.len() {
            continue;
        }
        if position + 1 < count {
            return Err(damaged(end, Damage::Gap));
        }
        if bytes[end..].iter().any(|byte| *byte != 0) {
            recovered.torn = bytes.len() - end;
        }
        if end == 0 {
            recovered.segments.pop();
            disk.remove(&segment).map_err(Error::disk(format!("remove the empty segment {segment}")))?;
        } else {
            disk.cut(&segment, end as u64).map_err(Error::disk(format!("cut segment {segment}")))?;
        }
    }
    if recovered.present_from > recovered.purged_below {
        let segment = recovered.segments.first().map(|segment| name(segment.first)).unwrap_or_default();
        return Err(Error::Damaged { segment, offset: 0, damage: Damage::Entries });
    }
    Ok(recovered)
}

/// Replays one segment and gives where it ends.
fn replay(recovered: &mut Recovered, segment: u64, bytes: &Bytes) -> Result<usize, (usize, Damage)> {
    let mut offset = 0;
    while offset < bytes.len() {
        let rest = &bytes[offset..];
        let head = &rest[..rest.len().min(HEADER)];
        let expected = recovered.sequence + 1;
        let Some(header) = Header::read(rest, segment, offset as u64) else {
            return if head.iter().any(|byte| *byte != 0) && head.len() == HEADER {
                Err((offset, Damage::Head))
            } else if has_batch_after(bytes, segment, offset, expected) {
                Err((offset, Damage::Gap))
            } else {
                Ok(offset)
            };
        };
        if header.sequence != expected {
            return Err((offset, Damage::Gap));
        }
        let payload = bytes.slice(offset + HEADER..(offset + HEADER + header.length).min(bytes.len()));
        if !header.covers(&payload) {
            let is_torn = payload.len() < header.length || has_unwritten_sector(bytes, offset, header.extent());
            return if is_torn && !has_batch_after(bytes, segment, offset + ALIGNMENT, expected) {
                Ok(offset)
            } else {
                Err((offset, Damage::Payload))
            };
        }
        for item in decode(payload).ok_or((offset, Damage::Payload))? {
            if let (Item::Entry(index, _), Some(segment)) = (&item, recovered.segments.last_mut()) {
                segment.last_entry = segment.last_entry.max(*index);
            }
            recovered.replay(item).map_err(|damage| (offset, damage))?;
        }
        recovered.sequence = header.sequence;
        offset += header.extent();
    }
    Ok(bytes.len().min(offset))
}

/// Whether a sector of the batch beyond its first holds nothing but zeros.
fn has_unwritten_sector(bytes: &[u8], offset: usize, extent: usize) -> bool {
    let end = (offset + extent).min(bytes.len());
    let second = (offset + 1).next_multiple_of(SECTOR);
    (second..end).step_by(SECTOR).any(|start| bytes[start..(start + SECTOR).min(end)].iter().all(|byte| *byte == 0))
}

/// Whether any batch after `sequence` lies at `from` or later.
fn has_batch_after(bytes: &[u8], segment: u64, from: usize, sequence: u64) -> bool {
    let start = from.next_multiple_of(ALIGNMENT);
    (start..bytes.len())
        .step_by(ALIGNMENT)
        .filter_map(|offset| Header::read(&bytes[offset..], segment, offset as u64))
        .any(|header| header.sequence > sequence)
}
