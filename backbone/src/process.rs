//! Child processes: launching, signals, and what `/proc` says of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, getpriority_process, kill_process, setpriority_process};
use tokio::process::{Child, Command};

/// A program to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Added to the environment.
    pub env: BTreeMap<String, String>,
    /// How much further than its parent it steps back when processors are short, as `nice` counts it.
    pub nice: i32,
}

impl Launch {
    /// `program` without arguments.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), ..Self::default() }
    }

    /// With these arguments added.
    #[must_use]
    pub fn args<T: Into<String>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Starts it in a process group of its own (Ctrl-C reaches the supervisor only), with its output appended to `log`.
    ///
    /// # Errors
    /// When the program cannot be started or the log not be written.
    pub fn spawn(&self, log: &Path, folder: &Path) -> Result<Child> {
        let out = open_log(log)?;
        let err = out.try_clone().context("share the log")?;
        let mut command = Command::new(&self.program);
        command.args(&self.args).envs(&self.env).current_dir(folder);
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("start {}", self.program.display()))?;
        // Its threads and children inherit it; it has none yet. Whoever steps back already may not come forward again.
        if self.nice > 0
            && let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
            && let Err(error) = getpriority_process(None).and_then(|own| setpriority_process(Some(pid), own + self.nice))
        {
            tracing::warn!(program = %self.program.display(), %error, "its priority cannot be set");
        }
        Ok(child)
    }
}

/// Logs are cut at this size.
pub const LOG_LIMIT: u64 = 20 << 20;

fn open_log(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o644).open(path).with_context(|| format!("open {}", path.display()))
}

/// Moves a log that has grown past [`LOG_LIMIT`] to `<log>.1`. Writers append, so the file is emptied under them, not renamed.
///
/// # Errors
/// When it cannot be read or written.
pub fn rotate(log: &Path) -> std::io::Result<()> {
    if fs::metadata(log).is_ok_and(|meta| meta.len() > LOG_LIMIT) {
        let mut old = log.as_os_str().to_owned();
        old.push(".1");
        fs::copy(log, old)?;
        OpenOptions::new().write(true).open(log)?.set_len(0)?;
    }
    Ok(())
}

/// The last lines of a file; of a very long one only the last 64 KiB are looked at.
#[must_use]
pub fn tail(path: &Path, lines: usize) -> Vec<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub((64 << 10).max((lines as u64).saturating_mul(200)))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect()
}

/// Fields of `/proc/<pid>/stat` from the third on; the second, the name, may hold blanks and brackets.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text[text.rfind(')')? + 1..].split_whitespace().map(str::to_owned).collect())
}

/// When a process started, in clock ticks since boot (field 22). `None` when it is gone or a zombie.
#[must_use]
pub fn started_ticks(pid: u32) -> Option<u64> {
    let fields = stat(pid)?;
    if fields.first()? == "Z" {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// True when `pid` is the process that started then.
#[must_use]
pub fn is(pid: u32, ticks: u64) -> bool {
    started_ticks(pid) == Some(ticks)
}

/// How long a process has run.
#[must_use]
pub fn uptime(ticks: u64) -> Option<Duration> {
    let since_boot: f64 = fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
    let per_second = rustix::param::clock_ticks_per_second();
    let started = Duration::from_millis(ticks * 1000 / per_second);
    Duration::try_from_secs_f64(since_boot).ok()?.checked_sub(started)
}

/// Sends a signal. A process that is gone already is no error.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        && let Err(error) = kill_process(pid, signal)
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(pid = pid.as_raw_nonzero().get(), %error, "cannot signal");
    }
}

/// CPU time, user and system, that a process and its descendants have used, in seconds. `None` when it is gone.
#[must_use]
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    // Fields 14 to 17: of the process itself, and of its children that have ended.
    let own = |pid| -> Option<u64> { stat(pid)?.get(11..15)?.iter().map(|ticks| ticks.parse::<u64>().ok()).sum() };
    let parents = parents();
    let is_of = |mut child: u32| {
        while child != pid {
            match parents.get(&child) {
                Some(&parent) if parent != child => child = parent,
                _ => return false,
            }
        }
        true
    };
    own(pid)?;
    let ticks: u64 = parents.keys().copied().filter(|&child| is_of(child)).filter_map(own).sum();
    #[expect(clippy::cast_precision_loss, reason = "a count of ticks is far below 2^52")]
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// All processes and their parents.
fn parents() -> BTreeMap<u32, u32> {
    pids().filter_map(|pid| Some((pid, stat(pid)?.get(1)?.parse().ok()?))).collect()
}

/// All process ids.
pub fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Processes whose working folder is `folder`.
#[must_use]
pub fn working_in(folder: &Path) -> Vec<u32> {
    pids().filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder)).collect()
}

/// Memory of a process and all below it, in bytes.
///
/// Proportional (Pss: a page shared by n processes counts 1/n in each) where the kernel lets us read it, so that the sum over
/// PostgreSQL's backends does not count its shared memory many times; resident (Rss) otherwise.
#[derive(Debug)]
pub struct Memory(BTreeMap<u32, Vec<u32>>);

impl Memory {
    /// Looks at the process tree once.
    #[must_use]
    pub fn look() -> Self {
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (pid, parent) in parents() {
            children.entry(parent).or_default().push(pid);
        }
        Self(children)
    }

    /// Bytes held by `pid` and its descendants.
    #[must_use]
    pub fn of(&self, pid: u32) -> u64 {
        let mut seen = BTreeSet::from([pid]);
        let mut open = vec![pid];
        let mut sum = 0;
        while let Some(pid) = open.pop() {
            sum += pss(pid).or_else(|| rss(pid)).unwrap_or_default();
            open.extend(self.0.get(&pid).into_iter().flatten().filter(|child| seen.insert(**child)));
        }
        sum
    }
}

fn pss(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn rss(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Waits until a process that is not our child is gone. False when it is still there after `limit`.
pub async fn wait_gone(pid: u32, ticks: u64, limit: Duration) -> bool {
    let gone = async {
        while is(pid, ticks) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(limit, gone).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_itself_and_no_other() {
        let me = std::process::id();
        let ticks = started_ticks(me).unwrap();
        assert!(is(me, ticks));
        assert!(!is(me, ticks + 1));
        assert!(uptime(ticks).unwrap() < Duration::from_secs(3600));
        assert!(Memory::look().of(me) > 100_000);
    }

    #[test]
    fn tail_gives_the_last_lines() {
        let path = std::env::temp_dir().join(format!("backbone-tail-{}", std::process::id()));
        fs::write(&path, "a\nb\nc\n").unwrap();
        assert_eq!(tail(&path, 2), ["b", "c"]);
        assert_eq!(tail(&path, 9).len(), 3);
        fs::remove_file(path).unwrap();
    }
}
