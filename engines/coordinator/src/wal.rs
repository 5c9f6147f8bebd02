//! The durable log: batches of items in segment files, one `fdatasync` for all that waited.
//!
//! ```text
//! append ─┐                       0000000000000001.wal   0000000000000a3c.wal
//! append ─┼─> channel ─> thread ─> batch batch batch ... │ batch batch 00000
//! vote   ─┘                        └ header, items        last segment, filled with zeros
//! ```
//! A batch is one write and one sync; only then its callers hear of it, and only then the next batch is written. Batches are numbered
//! without gaps, and every segment opens with the items that must outlive older ones. After the first failed write or sync nothing is
//! written any more: what the disk holds is then unknown until it is read again.

mod disk;
#[cfg(test)]
pub(crate) mod flaky;
mod record;
mod recover;
mod vigil;
mod writer;

use std::io;

use bytes::Bytes;

pub use self::{
    disk::{Disk, DiskFile, Folder},
    record::{ALIGNMENT, SECTOR},
    recover::{Damage, Recovered},
    writer::{Done, Op, Options, Wal},
};

/// What the log is made of. What the bytes mean is up to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An entry at its index; it follows the one before without a gap.
    Entry(u64, Bytes),
    /// The last vote.
    Vote(Bytes),
    /// How far the log is known to be committed. May lag behind.
    Committed(Bytes),
    /// All entries from this index on are taken back.
    Truncate(u64),
    /// All entries up to this index are no longer needed; the bytes name the last of them.
    Purge(u64, Bytes),
}

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error("{what} of the log")]
    Disk {
        /// What was attempted.
        what: String,
        /// Its reason.
        source: io::Error,
    },
    /// What is on the disk is not what was written there, and may have been acknowledged.
    #[error("segment {segment} of the log is damaged at byte {offset}: {damage}; this site must not vote with it")]
    Damaged {
        /// File name.
        segment: String,
        /// Where in it.
        offset: u64,
        /// What was found.
        damage: Damage,
    },
}

impl Error {
    fn disk(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self::Disk { what, source }
    }
}

#[cfg(test)]
mod tests;
