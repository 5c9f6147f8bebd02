//! Snapshots on disk: the whole state, its place in the log, and a checksum over both.
//!
//! ```text
//! 0        8            12     16            24
//! magic    meta length  sum    body length   meta ... body ...      numbers little endian, sum CRC32C of all after it
//! ```
//! A snapshot is written beside the old one, synced and renamed. One that does not add up is refused, never taken for an empty state.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::{
    Snapshot, SnapshotMeta,
    frame::{decode, encode},
};

const MAGIC: &[u8; 8] = b"CSNAP001";
const HEAD: usize = 24;
const NAME: &str = "state.snapshot";

/// The folder with the last snapshot. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    folder: PathBuf,
}

/// A snapshot as one piece of bytes.
pub(crate) fn pack(meta: &SnapshotMeta, body: &[u8]) -> Bytes {
    let meta = encode(meta);
    let mut bytes = BytesMut::with_capacity(HEAD + meta.len() + body.len());
    bytes.put_slice(MAGIC);
    bytes.put_u32_le(u32::try_from(meta.len()).expect("a membership is small"));
    bytes.put_u32_le(0);
    bytes.put_u64_le(body.len() as u64);
    bytes.put_slice(&meta);
    bytes.put_slice(body);
    let sum = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    bytes.freeze()
}

/// # Errors
/// When the bytes are not what was packed.
pub(crate) fn unpack(bytes: &Bytes) -> io::Result<(SnapshotMeta, Bytes)> {
    let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("the snapshot is damaged: {what}"));
    let mut head = bytes.get(..HEAD).ok_or_else(|| damaged("it is too short"))?;
    if &head[..8] != MAGIC {
        return Err(damaged("its head is not what was written"));
    }
    head.advance(8);
    let (meta, sum, body) = (head.get_u32_le(), head.get_u32_le(), head.get_u64_le());
    let meta = usize::try_from(meta).map_err(io::Error::other)?;
    if bytes.len() as u64 != (HEAD + meta) as u64 + body || crc32c::crc32c(&bytes[16..]) != sum {
        return Err(damaged("it is not what was written"));
    }
    Ok((decode(&bytes[HEAD..HEAD + meta])?, bytes.slice(HEAD + meta..)))
}

impl Snapshots {
    /// Opens the folder, and makes it when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// Makes a snapshot the last one, durably.
    pub(crate) fn save(&self, meta: &SnapshotMeta, body: &[u8]) -> io::Result<()> {
        let (new, last) = (self.folder.join(format!("{NAME}.new")), self.folder.join(NAME));
        let mut file = File::create(&new)?;
        file.write_all(&pack(meta, body))?;
        file.sync_all()?;
        std::fs::rename(&new, &last)?;
        File::open(&self.folder)?.sync_all()
    }

    /// The last snapshot.
    ///
    /// # Errors
    /// When it cannot be read or is not what was written.
    pub(crate) fn load(&self) -> io::Result<Option<Snapshot>> {
        let Some(bytes) = read(&self.folder.join(NAME))? else { return Ok(None) };
        let (meta, snapshot) = unpack(&bytes)?;
        Ok(Some(Snapshot { meta, snapshot }))
    }
}

fn read(path: &Path) -> io::Result<Option<Bytes>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_with_any_flipped_bit_is_refused() {
        let whole = pack(&SnapshotMeta::default(), b"the whole state");
        assert_eq!(unpack(&whole).unwrap().1.as_ref(), b"the whole state");
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(unpack(&bytes.into()).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(unpack(&whole.slice(..length)).is_err(), "cut to {length}");
        }
    }
}
