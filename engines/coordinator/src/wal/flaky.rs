//! A disk for tests: it tears writes, fills up and loses power.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use super::{Disk, DiskFile, SECTOR};

/// One write that has not been synced.
#[derive(Debug, Clone)]
struct Unsynced {
    name: String,
    offset: usize,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
pub(crate) struct Platter {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    unsynced: Vec<Unsynced>,
    /// Bytes that still fit; none is no limit.
    pub(crate) space: Option<usize>,
    pub(crate) broken: bool,
}

/// A disk in memory whose writes are only certain once they are synced.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flaky(Arc<Mutex<Platter>>);

#[derive(Debug)]
pub(crate) struct FlakyFile {
    disk: Flaky,
    name: String,
}

impl Flaky {
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Platter) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    /// Power is lost: each sector of what was not synced is there or not, as `dice` says.
    pub(crate) fn crash(&self, mut dice: impl FnMut() -> bool) -> Self {
        let platter = self.with(|platter| {
            let mut files = platter.files.clone();
            for write in &platter.unsynced {
                let Some(file) = files.get_mut(&write.name) else { continue };
                let mut at = 0;
                while at < write.bytes.len() {
                    let place = write.offset + at;
                    let length = (SECTOR - place % SECTOR).min(write.bytes.len() - at);
                    if dice() {
                        file[place..place + length].copy_from_slice(&write.bytes[at..at + length]);
                    }
                    at += length;
                }
            }
            Platter { files, ..Platter::default() }
        });
        Self(Arc::new(Mutex::new(platter)))
    }
}

impl Disk for Flaky {
    type File = FlakyFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.with(|platter| platter.files.keys().cloned().collect()))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.with(|platter| platter.files.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into()))
    }

    fn create(&mut self, name: &str, size: u64) -> io::Result<FlakyFile> {
        let size = usize::try_from(size).unwrap();
        self.with(|platter| {
            if let Some(space) = &mut platter.space {
                *space = space.checked_sub(size).ok_or(io::ErrorKind::StorageFull)?;
            }
            platter.files.insert(name.to_owned(), vec![0; size]);
            Ok(FlakyFile { disk: self.clone(), name: name.to_owned() })
        })
    }

    fn cut(&mut self, name: &str, size: u64) -> io::Result<()> {
        self.with(|platter| {
            platter.files.get_mut(name).expect("a file that is there is cut").truncate(usize::try_from(size).unwrap());
        });
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.with(|platter| platter.files.remove(name));
        Ok(())
    }
}

impl DiskFile for FlakyFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let write = Unsynced { name: self.name.clone(), offset: usize::try_from(offset).unwrap(), bytes: bytes.to_vec() };
        self.disk.with(|platter| platter.unsynced.push(write));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.with(|platter| {
            if platter.broken {
                return Err(io::Error::other("the disk is gone"));
            }
            for write in std::mem::take(&mut platter.unsynced) {
                let file = platter.files.get_mut(&write.name).expect("a file that is there is written");
                file[write.offset..write.offset + write.bytes.len()].copy_from_slice(&write.bytes);
            }
            Ok(())
        })
    }
}
