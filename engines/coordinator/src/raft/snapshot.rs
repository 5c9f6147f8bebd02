//! Snapshots on disk: the whole state, its place in the log, and a checksum over both.
//!
//! ```text
//! 0        8            12     16            24
//! magic    meta length  sum    body length   meta ... body ...      numbers little endian, sum CRC32C of all after it
//! ```
//! A snapshot is written beside the old one, synced and renamed. One that does not add up is refused, never taken for an empty state.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom, Write},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::{
    LogId, Snapshot, SnapshotMeta,
    frame::{decode, encode},
};

const MAGIC: &[u8; 8] = b"CSNAP001";
const HEAD: usize = 24;
const NAME: &str = "state.snapshot";
/// What is written is made durable so many bytes at a time: the log, on the same disk, waits for no more than that.
const PACE: u64 = 4 << 20;

/// The state in a snapshot: as another site sent it, or as it is on disk. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Held(Bytes),
    Saved { file: Arc<File>, start: u64, length: u64 },
}

impl Body {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Saved { length, .. } => *length,
        }
    }

    /// The bytes from `at` on, at most `most`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn piece(&self, at: u64, most: usize) -> io::Result<Bytes> {
        let left = usize::try_from(self.len().saturating_sub(at)).map_err(io::Error::other)?.min(most);
        match self {
            Self::Held(bytes) => {
                let at = usize::try_from(at).map_err(io::Error::other)?;
                Ok(bytes.slice(at..at + left))
            }
            Self::Saved { file, start, .. } => {
                let mut bytes = BytesMut::zeroed(left);
                file.read_exact_at(&mut bytes, start + at)?;
                Ok(bytes.freeze())
            }
        }
    }

    /// # Errors
    /// When the disk refuses.
    pub(crate) fn whole(&self) -> io::Result<Bytes> {
        self.piece(0, usize::MAX)
    }
}

/// The folder with the last snapshot. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    folder: PathBuf,
    /// How far the last one goes. Whoever writes one holds it.
    last: Arc<Mutex<Option<LogId>>>,
}

/// Writes on, and keeps count and sum.
struct Summed {
    file: File,
    sum: u32,
    length: u64,
    synced: u64,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum = crc32c::crc32c_append(self.sum, &bytes[..written]);
        self.length += written as u64;
        if self.length - self.synced >= PACE {
            self.file.sync_data()?;
            self.synced = self.length;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
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
        Ok(Self { folder, last: Arc::default() })
    }

    /// Makes what `write` writes the last snapshot, durably, unless there is one that goes as far. Gives the last one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn save(&self, meta: &SnapshotMeta, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Snapshot> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if meta.last_log_id <= *last
            && let Some(snapshot) = self.read()?
        {
            return Ok(snapshot);
        }
        let (new, place) = (self.folder.join(format!("{NAME}.new")), self.folder.join(NAME));
        let (file, start, length) = write_file(&new, meta, write)?;
        std::fs::rename(&new, &place)?;
        File::open(&self.folder)?.sync_all()?;
        *last = meta.last_log_id;
        Ok(Snapshot { meta: meta.clone(), snapshot: Body::Saved { file: Arc::new(file), start, length } })
    }

    /// The last snapshot.
    ///
    /// # Errors
    /// When it cannot be read or is not what was written.
    pub(crate) fn load(&self) -> io::Result<Option<Snapshot>> {
        let snapshot = self.read()?;
        // Whoever is writing one knows how far the last goes, and must not be waited for.
        if let (Some(snapshot), Ok(mut last)) = (&snapshot, self.last.try_lock()) {
            *last = (*last).max(snapshot.meta.last_log_id);
        }
        Ok(snapshot)
    }

    fn read(&self) -> io::Result<Option<Snapshot>> {
        let Some(bytes) = read(&self.folder.join(NAME))? else { return Ok(None) };
        let (meta, body) = unpack(&bytes)?;
        Ok(Some(Snapshot { meta, snapshot: Body::Held(body) }))
    }
}

/// Writes a snapshot to a file of its own, durably, piece by piece: what it holds is never in memory as a whole.
fn write_file(path: &Path, meta: &SnapshotMeta, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<(File, u64, u64)> {
    let meta = encode(meta);
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    let mut out = io::BufWriter::with_capacity(1 << 16, Summed { file, sum: 0, length: 0, synced: 0 });
    out.get_mut().file.seek(SeekFrom::Start(HEAD as u64))?;
    out.write_all(&meta)?;
    write(&mut out)?;
    let Summed { mut file, sum, length, .. } = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    let body = length - meta.len() as u64;
    let (mut head, counted) = (BytesMut::with_capacity(HEAD), body.to_le_bytes());
    head.put_slice(MAGIC);
    head.put_u32_le(u32::try_from(meta.len()).map_err(io::Error::other)?);
    head.put_u32_le(crc32c::crc32c_combine(crc32c::crc32c(&counted), sum, usize::try_from(length).map_err(io::Error::other)?));
    head.put_slice(&counted);
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&head)?;
    file.sync_all()?;
    Ok((file, (HEAD + meta.len()) as u64, body))
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

    fn meta(index: u64) -> SnapshotMeta {
        SnapshotMeta { last_log_id: Some(LogId::new_term_index(1, index)), ..SnapshotMeta::default() }
    }

    #[test]
    fn a_snapshot_is_written_in_pieces_and_an_older_one_never_takes_its_place() {
        let folder = std::env::temp_dir().join(format!("coordinator-snapshot-{}", std::process::id()));
        let state: Vec<u8> = (0..PACE + PACE / 2).map(|at| (at % 251) as u8).collect();
        let snapshots = Snapshots::open(folder.clone()).unwrap();
        let saved = snapshots.save(&meta(7), |out| state.chunks(1000).try_for_each(|piece| out.write_all(piece))).unwrap();
        assert_eq!(saved.snapshot.whole().unwrap(), state);
        assert_eq!(saved.snapshot.piece(PACE, 3).unwrap(), state[state.len() - (PACE / 2) as usize..][..3]);
        assert_eq!(std::fs::read(folder.join(NAME)).unwrap(), pack(&meta(7), &state));
        for older in [6, 7] {
            let last = snapshots.save(&meta(older), |_| panic!("nothing is to be written")).unwrap();
            assert_eq!((last.meta, last.snapshot.whole().unwrap()), (meta(7), Bytes::from(state.clone())));
        }
        let again = Snapshots::open(folder.clone()).unwrap();
        assert_eq!(again.load().unwrap().unwrap().snapshot.whole().unwrap(), state);
        again.save(&meta(8), |out| out.write_all(b"newer")).unwrap();
        assert_eq!(again.load().unwrap().unwrap().snapshot.whole().unwrap(), "newer");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
