//! The files of the repository: those that git tracks or would track, never build output.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// The checked-out repository.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    files: Vec<String>,
}

/// A file with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Path relative to the repository.
    pub(crate) path: String,
    /// Its content.
    pub(crate) text: String,
}

impl Source {
    #[cfg(test)]
    pub(crate) fn of(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// What stands between two quotes in production code, with its line: every literal, and what is between two literals. The caller takes
    /// what it knows by its shape.
    pub(crate) fn literals(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().take(production_lines(&self.text)).enumerate();
        let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
        code.flat_map(|(index, line)| line.split('"').map(move |piece| (index + 1, piece)))
    }
}

impl Tree {
    /// The repository that we stand in.
    pub(crate) fn open() -> Result<Self> {
        let root = PathBuf::from(git(Path::new("."), &["rev-parse", "--show-toplevel"])?.trim_end());
        let listed = git(&root, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
        let mut files: Vec<String> = listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
        // A file deleted but not committed yet is still listed.
        files.retain(|path| root.join(path).is_file());
        files.sort();
        files.dedup();
        Ok(Self { root, files })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn files(&self) -> &[String] {
        &self.files
    }

    /// All files whose name ends in `.extension`, with their text.
    pub(crate) fn sources(&self, extension: &str) -> Result<Vec<Source>> {
        let wanted = self.files.iter().filter(|path| Path::new(path).extension().is_some_and(|found| found == extension));
        wanted.map(|path| Ok(Source { path: path.clone(), text: self.read(path)? })).collect()
    }

    pub(crate) fn read(&self, path: &str) -> Result<String> {
        std::fs::read_to_string(self.root.join(path)).with_context(|| format!("read {path}"))
    }
}

/// What git prints.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").args(arguments).current_dir(folder).output().context("run git")?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("git prints UTF-8")
}

/// How many lines of a Rust file stand before its closing `#[cfg(test)] mod tests { .. }` block.
pub(crate) fn production_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let block = lines.windows(2).rposition(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {"));
    let end = block.unwrap_or(lines.len());
    end - lines[..end].iter().rev().take_while(|line| line.is_empty()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_block_is_not_production() {
        assert_eq!(production_lines("//! A.\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n"), 2);
        assert_eq!(production_lines("//! A.\n#[cfg(test)]\nmod tests;\n"), 3, "a file of tests elsewhere ends nothing");
        assert_eq!(production_lines(""), 0);
    }
}
