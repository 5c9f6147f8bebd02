//! What was set, in a file that is replaced as a whole.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use link::Kept;

/// More was never written.
const LARGEST: u64 = 1 << 20;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("use the folder {}", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    #[error("read {}, which says what was set of the links: remove it, and they are as they normally are", .0.display())]
    File(PathBuf, #[source] io::Error),
}

/// The file.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    file: PathBuf,
}

impl Store {
    /// Opens `folder`, and reads what was set before.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Vec<Kept>), Error> {
        fs::create_dir_all(folder).map_err(|error| Error::Folder(folder.to_owned(), error))?;
        let store = Self { file: folder.join("shapes.json") };
        let kept = store.read().map_err(|error| Error::File(store.file.clone(), error))?;
        Ok((store, kept))
    }

    fn read(&self) -> io::Result<Vec<Kept>> {
        match fs::metadata(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            found => {
                if found?.len() > LARGEST {
                    return Err(io::Error::other("it is too large"));
                }
            }
        }
        Ok(serde_json::from_slice(&fs::read(&self.file)?)?)
    }

    /// Keeps this instead of what was kept before.
    pub(crate) fn keep(&self, kept: &[Kept]) -> io::Result<()> {
        let unfinished = self.file.with_extension("new");
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec_pretty(kept)?)?;
        file.sync_all()?;
        fs::rename(&unfinished, &self.file)
    }
}
