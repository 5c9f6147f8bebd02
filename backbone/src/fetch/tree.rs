//! Hashes of files and folders.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 in hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file in hex.
pub(super) fn sha256_of(path: &Path) -> Result<String> {
    let read = || -> std::io::Result<String> {
        let mut file = fs::File::open(path)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hex(&hasher.finalize())),
                count => hasher.update(&buffer[..count]),
            }
        }
    };
    read().with_context(|| format!("read {}", path.display()))
}

/// One hash over the names and contents of all files below a folder, hidden ones at its top left out.
pub(super) async fn hash_of(folder: PathBuf) -> Result<String> {
    tokio::task::spawn_blocking(move || {
        let mut files = BTreeMap::new();
        walk(&folder, &folder, &mut files)?;
        let lines: String = files.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
        Ok(sha256(lines.as_bytes()))
    })
    .await?
}

fn walk(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(root, &path, files)?;
        } else if kind.is_symlink() {
            files.insert(name, fs::read_link(&path)?.display().to_string());
        } else {
            files.insert(name, sha256_of(&path)?);
        }
    }
    Ok(())
}

/// Flushes everything below a folder to disk, so that a marker written later never vouches for files that a power cut took.
pub(super) fn flush(folder: &Path) -> Result<()> {
    let file = fs::File::open(folder).with_context(|| format!("open {}", folder.display()))?;
    rustix::fs::syncfs(&file).with_context(|| format!("flush {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_changed_or_missing_file_changes_the_hash() {
        let folder = std::env::temp_dir().join(format!("backbone-tree-{}", std::process::id()));
        fs::create_dir_all(folder.join("lib")).unwrap();
        fs::write(folder.join("lib/a"), "1").unwrap();
        fs::write(folder.join(".marker"), "x").unwrap();
        let first = hash_of(folder.clone()).await.unwrap();
        fs::write(folder.join(".marker"), "y").unwrap();
        assert_eq!(hash_of(folder.clone()).await.unwrap(), first);
        fs::write(folder.join("lib/a"), "2").unwrap();
        assert_ne!(hash_of(folder.clone()).await.unwrap(), first);
        fs::remove_dir_all(folder).unwrap();
    }
}
