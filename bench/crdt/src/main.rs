//! Our OR-set beside those of other libraries: the same changes at three replicas, what each library sends, and how long it takes to merge it.
//!
//! ```text
//! workload (seed) ──> rounds: ours, crdts, automerge, yrs, loro, ours, crdts ... ──> medians, ratios ──> table, JSON, docs
//! ```
//! Everything runs in one thread and touches neither disk nor network.

use std::{
    io::{Write as _, stdout},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use crate::{
    library::{automerge, crdts, loro, ours, yrs},
    measure::{Outcome, one_more, run},
    report::{Claim, Report, Series, Target},
    workload::{Size, Workload},
};

mod library;
mod measure;
mod report;
mod workload;

/// As the services have it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(about = "Our OR-set beside those of crdts, automerge, yrs and loro")]
struct Args {
    /// Rounds; each runs every library once
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// What the workload follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Changes of all three replicas
    #[arg(long, default_value_t = 100_000)]
    changes: usize,
    /// Changes of a replica between two exchanges
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Different keys
    #[arg(long, default_value_t = 1000)]
    keys: usize,
    /// Of 100 changes, so many are adds
    #[arg(long, default_value_t = 60)]
    adds: usize,
    /// Changes of each of two replicas before they merge whole states
    #[arg(long, default_value_t = 5000)]
    apart: usize,
    /// Only libraries with this in their names
    #[arg(long)]
    only: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write the results to this folder, which has `benchmarks.md`
    #[arg(long)]
    write: Option<PathBuf>,
}

/// A way to use a library.
struct Candidate {
    name: &'static str,
    run: fn(&Workload) -> Result<Outcome>,
    /// Whether its set is an OR-set, so that its members must be those of the model.
    is_or_set: bool,
}

const OURS: &str = "ours";
/// Like our deltas, and unlike operations, states may be lost, repeated and reordered.
const STATES: &str = "crdts, states";

/// Ours first.
const CANDIDATES: [Candidate; 8] = [
    Candidate { name: OURS, run: run::<ours::Ours>, is_or_set: true },
    Candidate { name: "crdts, operations", run: run::<crdts::Operations>, is_or_set: true },
    Candidate { name: STATES, run: run::<crdts::States>, is_or_set: true },
    Candidate { name: "automerge", run: run::<automerge::Document<false>>, is_or_set: false },
    Candidate { name: "automerge, compressed", run: run::<automerge::Document<true>>, is_or_set: false },
    Candidate { name: "yrs, v1", run: run::<yrs::Document<false>>, is_or_set: false },
    Candidate { name: "yrs, v2", run: run::<yrs::Document<true>>, is_or_set: false },
    Candidate { name: "loro", run: run::<loro::Document>, is_or_set: false },
];

/// Items in the set that one more is added to.
const HELD: usize = 100;

fn main() -> ExitCode {
    let args = Args::parse();
    match bench(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn bench(args: &Args) -> Result<()> {
    let size = Size { changes: args.changes, batch: args.batch, keys: args.keys, adds: args.adds, apart: args.apart };
    ensure!(args.batch > 0 && args.keys > 0 && args.rounds > 0, "a batch, the keys and the rounds are at least 1");
    let workload = Workload::new(args.seed, size);
    let candidates: Vec<&Candidate> =
        CANDIDATES.iter().filter(|candidate| args.only.as_ref().is_none_or(|only| candidate.name.contains(only))).collect();
    let mut outcomes: Vec<Vec<Outcome>> = candidates.iter().map(|_| Vec::new()).collect();
    for _ in 0..args.rounds {
        for (candidate, outcomes) in candidates.iter().zip(&mut outcomes) {
            let outcome = (candidate.run)(&workload).with_context(|| format!("run {}", candidate.name))?;
            ensure!(!candidate.is_or_set || outcome.strange == 0, "{} has other members than the model", candidate.name);
            outcomes.push(outcome);
        }
    }
    let measured: Vec<Measured> =
        candidates.iter().zip(outcomes).map(|(candidate, rounds)| Measured { name: candidate.name, rounds }).collect();
    let report = report(args, &workload, &measured)?;
    if let Some(folder) = &args.write {
        report.write(folder)?;
    }
    let text = if args.json { serde_json::to_string_pretty(&report)? + "\n" } else { report.to_string() };
    stdout().write_all(text.as_bytes()).context("print the results")
}

/// What one candidate took in each round.
struct Measured {
    name: &'static str,
    rounds: Vec<Outcome>,
}

impl Measured {
    fn series(&self, what: &str, unit: &str, figure: impl Fn(&Outcome) -> Option<f64>) -> Option<Series> {
        let rounds: Option<Vec<f64>> = self.rounds.iter().map(figure).collect();
        rounds.map(|rounds| Series::new(format!("{what}: {}", self.name), unit, rounds))
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[expect(clippy::cast_precision_loss, reason = "a number of bytes of messages in memory")]
fn kb(bytes: usize) -> f64 {
    bytes as f64 / 1e3
}

fn report(args: &Args, workload: &Workload, measured: &[Measured]) -> Result<Report> {
    let mut report = Report::new("crdt", "How soon are changes that replicas made apart merged, and how many bytes does that take?");
    let all = |what: &str, unit: &str, figure: &dyn Fn(&Outcome) -> Option<f64>| -> Vec<Series> {
        measured.iter().filter_map(|one| one.series(what, unit, figure)).collect()
    };
    let merge = all("merge", "CPU ms", &|outcome| Some(ms(outcome.merge)));
    let wire = all("on the wire", "kB", &|outcome| Some(kb(outcome.wire)));
    let states = all("whole state into another", "CPU µs", &|outcome| Some(us(outcome.merge_state)));
    let memory = all("the same in memory", "CPU µs", &|outcome| outcome.merge_memory.map(us));
    report.claims.extend(best(&merge, "merge, the best other / ours", 5.0));
    report.claims.extend(best(&wire, "on the wire, the smallest other / ours", 1.0));
    report.claims.extend(best(&of(&merge, STATES), "merge, states of crdts / our deltas", 10.0));
    let ((delta, _), (_, state)) = (one_more::<ours::Ours>(HELD)?, one_more::<crdts::States>(HELD)?);
    let name = format!("one more item on {HELD}: our bytes / those of crdts' state");
    report.claims.push(Claim::new(name, kb(delta) / kb(state), Target::AtMost(0.05)));
    report.series.extend(merge);
    report.series.extend(wire);
    report.series.extend(states);
    report.series.extend(memory);
    report.series.extend(all("whole state", "kB", &|outcome| Some(kb(outcome.state))));
    report.series.extend(all("changes", "CPU ms", &|outcome| Some(ms(outcome.change))));
    report.series.extend(all("encode", "CPU ms", &|outcome| Some(ms(outcome.encode))));
    report.conditions = conditions(args, workload, measured);
    Ok(report)
}

/// Ours, and those whose names start so.
fn of(series: &[Series], library: &str) -> Vec<Series> {
    let is_asked = |one: &&Series| is_ours(one) || one.name.split(": ").nth(1).is_some_and(|name| name.starts_with(library));
    series.iter().filter(is_asked).map(|one| Series::new(one.name.clone(), &one.unit, one.rounds.clone())).collect()
}

fn is_ours(series: &Series) -> bool {
    series.name.ends_with(&format!(": {OURS}"))
}

/// How many times ours the best of the others is.
fn best(series: &[Series], name: &str, target: f64) -> Option<Claim> {
    let ours = series.iter().find(|one| is_ours(one))?;
    let others = series.iter().filter(|one| !is_ours(one));
    let best = others.min_by(|one, other| one.median.total_cmp(&other.median))?;
    let best_name = best.name.split(": ").nth(1).unwrap_or_default();
    Some(Claim::new(format!("{name} ({best_name})"), best.ratio_to(ours), Target::AtLeast(target)))
}

fn conditions(args: &Args, workload: &Workload, measured: &[Measured]) -> Vec<String> {
    let strange = measured.iter().filter_map(|one| Some((one.name, one.rounds.first()?.strange))).filter(|(_, count)| *count > 0);
    let strange: Vec<_> = strange.map(|(name, count)| format!("{name} {count}")).collect();
    vec![
        format!(
            "three replicas make {} changes ({} of 100 add one of {} SKUs, the others remove one that is there), seed {}; after each {} of \
             its own a replica sends what is new to both others; at the end the set has {} members",
            workload.changes(),
            args.adds,
            args.keys,
            args.seed,
            args.batch,
            workload.members.len()
        ),
        "merge: decoding and taking in what came, all replicas, all rounds; on the wire: each message counted for each replica that gets it"
            .to_owned(),
        format!(
            "whole state into another: two replicas make {} changes each without telling; one takes in the other's whole state, from bytes",
            args.apart
        ),
        "one process, one thread, no disk, no network; mimalloc, opt-level 3, fat LTO for all; a round runs each library once, in turn".to_owned(),
        "crdts has no encoding of its own: postcard; its operations must come in order and without loss, its states and our deltas need not".to_owned(),
        "automerge, yrs and loro have no OR-set: a map from key to `true`, one transaction for a batch; they keep the history, which an OR-set \
         does not"
            .to_owned(),
        format!(
            "each library's three replicas end with the same members; an OR-set's are the model's. A map decides some concurrent changes otherwise: \
             members that differ, of both ends together: {}",
            if strange.is_empty() { "none".to_owned() } else { strange.join(", ") }
        ),
        "crdts 7.3.2, automerge 0.12.0, yrs 0.28.1, loro 1.17.1".to_owned(),
    ]
}
