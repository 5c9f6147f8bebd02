//! `verify`: reads both regions' databases, Kafka and the provider's own list, and reports every broken promise.
//!
//! ```text
//! databases, provider, spine ── read ──> facts ── checks ──> findings ──> broken for good: tell
//!                                 ^                            └──> not settled: look again, until `wait` is over
//!                                 └────────────────────────────────────┘
//! ```
//! Only what happened before the first look is judged, so a market that works on can be verified too.

pub mod checks;
pub mod facts;
pub mod finding;
pub mod read;
mod report;

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use tokio::time::{Instant, sleep};

use self::{
    facts::{Acknowledged, Millis},
    finding::Findings,
    read::Scope,
    report::Verdict,
};
use crate::{
    exit::Exit,
    home::Home,
    output::{problem, seconds},
    sources::Sources,
};

/// Between two looks; longer when a look takes long.
const PAUSE: Duration = Duration::from_millis(500);
/// How far it steps back when processors are short, as `nice` counts it: looking must not slow down what it waits for.
const NICE: i32 = 10;

/// What to verify.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long what is under way may take to settle.
    pub wait: Duration,
    /// The load generator's journal.
    pub journal: Option<PathBuf>,
    /// Only what is younger than this.
    pub since: Option<Since>,
    /// Print JSON.
    pub json: bool,
}

/// The start of what is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So long ago.
    Ago(Duration),
    /// That moment.
    At(SystemTime),
}

impl std::str::FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ago) = humantime::parse_duration(text) {
            return Ok(Self::Ago(ago));
        }
        humantime::parse_rfc3339_weak(text).map(Self::At).map_err(|_| "a duration like 10m, or a time like 2026-11-21T14:00:00Z".to_owned())
    }
}

/// Verifies the market in a home.
///
/// # Errors
/// When nothing can be printed.
pub async fn run(home: &Home, options: &Options) -> Result<Exit> {
    let _ = rustix::process::nice(NICE);
    let begun = Instant::now();
    let now = SystemTime::now();
    let since = match options.since {
        None => 0,
        Some(Since::At(at)) => millis(at),
        Some(Since::Ago(ago)) => now.checked_sub(ago).map_or(0, millis),
    };
    let scope = Scope { since, horizon: millis(now) };
    let (journal, sources) = match (acknowledged(options), Sources::of(home)) {
        (Ok(journal), Ok(sources)) => (journal, sources),
        (Err(error), _) | (_, Err(error)) => return Ok(unreadable(&error)),
    };
    let progress = Progress { is_shown: !options.json && std::io::stderr().is_terminal() };
    let mut looks = 0;
    loop {
        looks += 1;
        let look = Instant::now();
        let looked = self::look(&sources, scope, &journal, &progress).await;
        progress.clear();
        let is_time_up = begun.elapsed() >= options.wait;
        match looked {
            Ok(findings) if is_time_up || findings.count_unsettled() == 0 => {
                Verdict { findings: &findings, looks, took: begun.elapsed() }.print(options.json)?;
                return Ok(if findings.are_clean() { Exit::Ok } else { Exit::Failed });
            }
            Ok(findings) => {
                let (unsettled, left) = (findings.count_unsettled(), options.wait.saturating_sub(begun.elapsed()));
                progress.line(&format!("look {looks}: {unsettled} not settled, {} left", seconds(left)));
            }
            Err(error) if is_time_up => return Ok(unreadable(&error)),
            Err(error) => progress.line(&format!("look {looks}: {error:#}")),
        }
        sleep(PAUSE.max(look.elapsed())).await;
    }
}

/// The journal; none when none was asked for.
fn acknowledged(options: &Options) -> Result<Vec<Acknowledged>> {
    let Some(path) = &options.journal else { return Ok(Vec::new()) };
    let journal = read::journal(path)?;
    ensure!(!journal.is_empty(), "{} has no line: nothing was acknowledged", path.display());
    Ok(journal)
}

/// One look at everything.
async fn look(sources: &Sources, scope: Scope, journal: &[Acknowledged], progress: &Progress) -> Result<Findings> {
    let mut findings = Findings::default();
    let tell = |what: &str| progress.now(what);
    let facts = read::facts(sources, scope, journal, &tell).await?;
    checks::run(&facts, &mut findings);
    drop(facts);
    read::spine(sources, scope, &mut findings, &tell).await.context("follow the spine")?;
    Ok(findings)
}

fn unreadable(error: &anyhow::Error) -> Exit {
    problem(format_args!("cannot verify: {error:#}\nwhat to do: `backbone status` shows what runs"));
    Exit::Unavailable
}

fn millis(at: SystemTime) -> Millis {
    let since_epoch = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since_epoch.as_millis()).unwrap_or(Millis::MAX)
}

/// What is done now, for somebody who watches.
struct Progress {
    is_shown: bool,
}

impl Progress {
    fn now(&self, what: &str) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[Kreading {what} ...");
        }
    }

    fn clear(&self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    fn line(&self, what: &str) {
        if self.is_shown {
            problem(what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_duration_or_a_moment() {
        assert_eq!("10m".parse(), Ok(Since::Ago(Duration::from_secs(600))));
        assert!(matches!("2026-11-21T14:00:00Z".parse(), Ok(Since::At(_))));
        assert!("yesterday".parse::<Since>().unwrap_err().contains("10m"));
    }
}
