//! What the log asks of a disk. Tests put a disk in its place that tears, fills up and flips bits.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::PathBuf,
};

use rustix::fs::{FallocateFlags, fallocate};

/// A folder of files.
pub trait Disk: Send + 'static {
    /// A file that is being written.
    type File: DiskFile;

    /// # Errors
    /// When the folder cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// # Errors
    /// When the file cannot be read.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// A new file of `size` zeros. It is there after a crash.
    ///
    /// # Errors
    /// When there is no space or the file is there already.
    fn create(&mut self, name: &str, size: u64) -> io::Result<Self::File>;

    /// Cuts a file to `size`, durably.
    ///
    /// # Errors
    /// When the disk refuses.
    fn cut(&mut self, name: &str, size: u64) -> io::Result<()>;

    /// # Errors
    /// When the disk refuses.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}

/// A file that is being written.
pub trait DiskFile: Send {
    /// # Errors
    /// When not all of it could be written.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything written is durable.
    ///
    /// # Errors
    /// When that cannot be said.
    fn sync(&mut self) -> io::Result<()>;
}

/// A folder of the file system.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Opens a folder, and makes it when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&path)?;
        Ok(Self { path })
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl Disk for Folder {
    type File = File;

    fn list(&self) -> io::Result<Vec<String>> {
        std::fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.path.join(name))
    }

    fn create(&mut self, name: &str, size: u64) -> io::Result<File> {
        let file = OpenOptions::new().write(true).create_new(true).open(self.path.join(name))?;
        fallocate(&file, FallocateFlags::empty(), 0, size)?;
        file.sync_all()?;
        self.sync()?;
        Ok(file)
    }

    fn cut(&mut self, name: &str, size: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path.join(name))?;
        file.set_len(size)?;
        file.sync_all()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))?;
        self.sync()
    }
}

impl DiskFile for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
