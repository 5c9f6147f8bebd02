//! Downloads the engines into a cache that all homes share, each checked against `backbone.lock`.
//!
//! A part is made in a temporary folder beside its place, verified, flushed, renamed, and only then marked: what is half
//! downloaded or half written is never used. The marker holds a hash of the installed files, so that `--verify` finds later damage.

mod golang;
mod lock;
mod maven;
mod tree;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::{process::Command, task::JoinSet};

pub use lock::Lock;

/// Where the engines are installed.
#[derive(Debug, Clone)]
pub struct Installed {
    cache: PathBuf,
    lock: Lock,
}

/// The engines, in the order in which they are fetched: the slowest first.
const PARTS: [&str; 4] = ["temporal", "kafka", "nats-server", "postgresql"];

const MARKER: &str = ".installed.json";

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Marker {
    /// The lock's lines for this part when it was installed.
    lock: String,
    /// Hash of all files.
    tree: String,
}

/// What happened to a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// Its download starts.
    Fetching,
    /// It was there.
    Present,
    /// It is there now.
    Done(std::time::Duration),
    /// It is damaged and will be fetched again.
    Damaged(&'a str),
}

impl Installed {
    /// The parts below `cache`, by the lock file of this build.
    ///
    /// # Errors
    /// When the lock file cannot be read.
    pub fn new(cache: &Path) -> Result<Self> {
        Ok(Self { cache: std::path::absolute(cache)?, lock: Lock::embedded()? })
    }

    fn folder(&self, part: &str) -> PathBuf {
        self.cache.join(format!("{part}-{}", self.lock.version(part)))
    }

    /// Folder with PostgreSQL's `bin`, `lib` and `share`.
    #[must_use]
    pub fn postgres(&self) -> PathBuf {
        self.folder("postgresql")
    }

    /// Folder with Kafka's jars.
    #[must_use]
    pub fn kafka(&self) -> PathBuf {
        self.folder("kafka")
    }

    /// The Temporal CLI.
    #[must_use]
    pub fn temporal(&self) -> PathBuf {
        self.folder("temporal").join("temporal")
    }

    /// nats-server.
    #[must_use]
    pub fn nats(&self) -> PathBuf {
        self.folder("nats-server").join("nats-server")
    }

    /// Parts that are not installed as the lock file says. Reads four small files.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        PARTS.into_iter().filter(|part| self.marker(part).is_none_or(|marker| marker.lock != self.lock.fingerprint(part))).collect()
    }

    fn marker(&self, part: &str) -> Option<Marker> {
        serde_json::from_slice(&fs::read(self.folder(part).join(MARKER)).ok()?).ok()
    }

    /// Fetches what is missing, all at once. With `verify` also hashes what is there and fetches again what is damaged.
    ///
    /// # Errors
    /// Every part that could not be had, each with what to do.
    pub async fn fetch(&self, verify: bool, report: impl Fn(&str, Event<'_>) + Clone + Send + Sync + 'static) -> Result<()> {
        fs::create_dir_all(&self.cache).with_context(|| format!("create the download cache {}", self.cache.display()))?;
        let cache = self.cache.clone();
        let held = tokio::task::spawn_blocking(move || exclusive(&cache)).await??;
        let mut tasks = JoinSet::new();
        for part in PARTS {
            let (this, report) = (self.clone(), report.clone());
            tasks.spawn(async move { this.part(part, verify, &report).await.with_context(|| format!("{part} could not be fetched")) });
        }
        let failures: Vec<_> = tasks.join_all().await.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
        drop(held);
        if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
    }

    /// Folder with Debezium's jars, which only the bench needs; fetched when they are not there.
    ///
    /// # Errors
    /// When they could not be had.
    pub async fn debezium(&self) -> Result<PathBuf> {
        let cache = self.cache.clone();
        let held = tokio::task::spawn_blocking(move || exclusive(&cache)).await??;
        self.part("debezium", false, &|_: &str, _: Event<'_>| {}).await.context("debezium could not be fetched")?;
        drop(held);
        Ok(self.folder("debezium"))
    }

    async fn part(&self, part: &str, verify: bool, report: &(impl Fn(&str, Event<'_>) + Send + Sync)) -> Result<()> {
        let folder = self.folder(part);
        if let Some(marker) = self.marker(part).filter(|marker| marker.lock == self.lock.fingerprint(part)) {
            if !verify {
                report(part, Event::Present);
                return Ok(());
            }
            let found = tree::hash_of(folder.clone()).await?;
            if found == marker.tree {
                report(part, Event::Present);
                return Ok(());
            }
            report(part, Event::Damaged("its files are not those that were installed"));
        }
        let begun = Instant::now();
        report(part, Event::Fetching);
        let unfinished = folder.with_file_name(format!(".unfinished-{part}"));
        let work = folder.with_file_name(format!(".work-{part}"));
        for path in [&unfinished, &work] {
            empty(path)?;
        }
        let made = self.download(part, &work, &unfinished).await;
        let _ = fs::remove_dir_all(&work);
        if let Err(error) = made {
            let _ = fs::remove_dir_all(&unfinished);
            return Err(error);
        }
        let hash = tree::hash_of(unfinished.clone()).await?;
        tree::flush(&unfinished)?;
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("replace {}", folder.display()))?;
        }
        fs::rename(&unfinished, &folder).with_context(|| format!("put {} in place", folder.display()))?;
        let marker = Marker { lock: self.lock.fingerprint(part), tree: hash };
        crate::home::write_atomically(&folder.join(MARKER), 0o644, &serde_json::to_vec_pretty(&marker)?)?;
        report(part, Event::Done(begun.elapsed()));
        Ok(())
    }

    async fn download(&self, part: &str, work: &Path, target: &Path) -> Result<()> {
        match part {
            "postgresql" => maven::postgresql(self.lock.postgresql(), work, target).await,
            "kafka" => maven::jars(&self.lock.kafka, work, target).await,
            "debezium" => maven::jars(&self.lock.debezium, work, target).await,
            "temporal" => golang::install(&self.lock.temporal, target).await,
            _ => golang::install(&self.lock.nats_server, target).await,
        }
    }
}

fn empty(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_dir_all(path).with_context(|| format!("empty {}", path.display()))?;
    }
    fs::create_dir_all(path).with_context(|| format!("create {}", path.display()))
}

/// Two fetches at once wait for one another.
fn exclusive(cache: &Path) -> Result<fs::File> {
    let path = cache.join(".lock");
    let file = fs::OpenOptions::new().create(true).append(true).open(&path).with_context(|| format!("open {}", path.display()))?;
    file.lock().with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}

/// Runs a tool to its end; its output is the error when it fails.
async fn run<T: AsRef<OsStr>>(program: &str, args: &[T], env: &[(&str, &OsStr)], folder: &Path) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(args).envs(env.iter().copied()).current_dir(folder).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = command.output().await.with_context(|| format!("run {program} (`backbone doctor` shows how to install it)"))?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let shown = lines[..lines.len().min(15)].join("\n  ");
        bail!(
            "{program} failed ({}):\n  {shown}\ncheck the network and the free space of the disk, then run `backbone fetch` again",
            output.status
        );
    }
    Ok(output.stdout)
}

/// The error for a file that is not what the lock file says.
fn mismatch(file: &str, expected: &str, got: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "{file} is not what backbone.lock says\n  expected {expected}\n  got      {got}\n\
         nothing was installed. Delete the file from its own cache (~/.m2 or `go env GOMODCACHE`) and run `backbone fetch` again; if it \
         stays so, something between here and the publisher changes it, or backbone.lock needs the new sum"
    )
}
