//! `logs`: the last lines of the parts' logs, and what is added to them.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{exit::Exit, home::Home, output::try_line, process::tail};

/// Which logs to show, and how.
#[derive(Debug)]
pub struct Selection {
    /// A part's name; all without one.
    pub part: Option<String>,
    /// Only this region's.
    pub region: Option<String>,
    /// Lines of each.
    pub lines: usize,
    /// Go on until Ctrl-C.
    pub follow: bool,
}

/// Shows them.
///
/// # Errors
/// When there is no such log.
pub async fn show(home: &Home, selection: &Selection) -> Result<Exit> {
    let logs = find(home, selection)?;
    // An error in here is the end of the reader.
    let _ = show_all(logs, selection).await;
    Ok(Exit::Ok)
}

async fn show_all(logs: Vec<(String, PathBuf)>, selection: &Selection) -> io::Result<()> {
    let many = logs.len() > 1;
    let mut open = Vec::new();
    for (name, path) in logs {
        let end = std::fs::metadata(&path).map_or(0, |meta| meta.len());
        for text in tail(&path, selection.lines) {
            print(many, &name, &text)?;
        }
        open.push(Followed { name, path, read: end, part: String::new() });
    }
    if selection.follow { follow(many, open).await } else { Ok(()) }
}

/// Until Ctrl-C.
async fn follow(many: bool, mut open: Vec<Followed>) -> io::Result<()> {
    loop {
        for log in &mut open {
            for text in log.news().unwrap_or_default() {
                print(many, &log.name, &text)?;
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn print(many: bool, name: &str, text: &str) -> io::Result<()> {
    if many { try_line(format_args!("{name:<14} | {text}")) } else { try_line(text) }
}

fn find(home: &Home, selection: &Selection) -> Result<Vec<(String, PathBuf)>> {
    let folder = home.logs();
    let entries = std::fs::read_dir(&folder).with_context(|| format!("there are no logs in {}: nothing was started", folder.display()))?;
    let mut all: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.strip_suffix(".log")?.to_owned();
            Some((name, path))
        })
        .collect();
    all.sort();
    let names: Vec<_> = all.iter().map(|(name, _)| name.clone()).collect();
    all.retain(|(name, _)| is_wanted(name, selection));
    if all.is_empty() {
        bail!("there is no such log; there are: {}", names.join(", "));
    }
    Ok(all)
}

/// Logs are named `<region>-<part>`; the supervisor's own is `backbone`.
fn is_wanted(name: &str, selection: &Selection) -> bool {
    let (region, part) = name.split_once('-').unwrap_or(("", name));
    selection.part.as_deref().is_none_or(|wanted| wanted == part || wanted == name)
        && selection.region.as_deref().is_none_or(|wanted| wanted == region)
}

struct Followed {
    name: String,
    path: PathBuf,
    read: u64,
    /// The beginning of a line that has no end yet.
    part: String,
}

impl Followed {
    fn news(&mut self) -> Result<Vec<String>> {
        let mut file = open(&self.path)?;
        let length = file.metadata()?.len();
        if length < self.read {
            self.read = 0;
        }
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.take(length - self.read).read_to_end(&mut bytes)?;
        self.read += bytes.len() as u64;
        self.part.push_str(&String::from_utf8_lossy(&bytes));
        let Some(end) = self.part.rfind('\n') else { return Ok(Vec::new()) };
        let rest = self.part.split_off(end + 1);
        let whole = std::mem::replace(&mut self.part, rest);
        Ok(whole.lines().map(str::to_owned).collect())
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_chosen_by_name_and_region() {
        let choose = |part: Option<&str>, region: Option<&str>| Selection {
            part: part.map(str::to_owned),
            region: region.map(str::to_owned),
            lines: 1,
            follow: false,
        };
        assert!(is_wanted("eu-order", &choose(Some("order"), None)));
        assert!(is_wanted("eu-kafka-2", &choose(Some("kafka-2"), Some("eu"))));
        assert!(!is_wanted("us-order", &choose(Some("order"), Some("eu"))));
        assert!(is_wanted("backbone", &choose(Some("backbone"), None)));
        assert!(is_wanted("global-edge", &choose(None, None)));
    }
}
