//! `bench`: what the design costs, each figure beside a rival's on the same machine, in the same run, in turns.
//!
//! ```text
//! own market in <home>/bench ── suite ──> rounds: ours, rival, ours, rival ... ──> medians, ratios ──> table, JSON, docs
//! ```
//! A suite starts its own market, so that neither old data nor other load is in the figures, and leaves nothing behind.

mod bed;
mod checkout;
mod coordinator;
mod failover;
mod measure;
mod orders;
mod place_order;
mod report;
mod rpc;
mod sagas;
mod spine;
mod stock;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};

pub use self::spine::serve as relay;
use self::{bed::Bed, report::Report};
use crate::{
    exit::Exit,
    home::Home,
    output::{line, problem},
    up,
};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Orders acknowledged each second, against pgbench with the same SQL.
    PlaceOrder,
    /// Orders brought to their end each second, and where the time goes.
    Sagas,
    /// Units of one SKU reserved each second, against many SKUs.
    Stock,
    /// A saga, two-phase commit and events alone, behind the same API: cost, latency, and who waits when the order service dies.
    Checkout,
    /// A region is killed, cut off or not heard under traffic: how long shoppers notice, and whether anything is lost.
    Failover,
    /// From commit to consumer, and a backlog's events each second, against Debezium's engine.
    Spine,
    /// Puts each second, latency and memory of three coordinators, against three of etcd.
    Coordinator,
    /// Calls: what their behaviours cost beside bare tonic, and what they do when servers are slow, broken or flooded.
    Rpc,
}

impl Suite {
    /// Its name, on the command line and in file names.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// No services are needed, only the engines.
    const fn needs_engines_only(self) -> bool {
        matches!(self, Self::Spine | Self::Coordinator | Self::Rpc)
    }

    /// It starts its markets itself, a new one for each round, or needs none.
    const fn starts_its_own(self) -> bool {
        matches!(self, Self::Checkout | Self::Sagas | Self::Failover | Self::Coordinator | Self::Rpc)
    }

    async fn run(self, bed: &Bed, options: &Options) -> Result<Report> {
        let rounds = options.rounds;
        match self {
            Self::PlaceOrder => place_order::run(bed, rounds).await,
            Self::Sagas => {
                let against = options.against.as_deref().map(|folder| bed.built_in(folder)).transpose()?;
                Box::pin(sagas::run(bed, against.as_ref(), rounds)).await
            }
            Self::Stock => stock::run(bed, rounds).await,
            Self::Checkout => Box::pin(checkout::run(bed, rounds)).await,
            Self::Failover => Box::pin(failover::run(&bed.far_apart(), rounds, options.rate)).await,
            Self::Spine => Box::pin(spine::run(bed, rounds)).await,
            Self::Coordinator => Box::pin(coordinator::run(bed, rounds)).await,
            Self::Rpc => Box::pin(rpc::run(rounds)).await,
        }
    }
}

/// What to measure, and where the results go.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which; all when empty.
    pub suites: Vec<Suite>,
    /// Rounds of each; figures are medians over them.
    pub rounds: usize,
    /// A folder with another build's programs, for `sagas`.
    pub against: Option<PathBuf>,
    /// Requests a second of `failover`.
    pub rate: u32,
    /// Print JSON instead of tables.
    pub json: bool,
    /// A folder (`docs`) that gets `benchmarks/<suite>.json` and `benchmarks.md`.
    pub write: Option<PathBuf>,
}

/// Measures. Fails (exit code 1) when a target is missed.
///
/// # Errors
/// When something cannot be started, run or written.
pub async fn run(start: up::Options, options: &Options) -> Result<Exit> {
    ensure!(
        !Home::at(&start.home)?.is_locked()?,
        "a market runs in {}, and would share the cores: stop it with `backbone down`",
        start.home.display()
    );
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let suites = if options.suites.is_empty() { Suite::value_variants() } else { &options.suites };
    let mut reports = Vec::new();
    for &suite in suites {
        let bed = Bed::new(&start, suite.needs_engines_only())?;
        ensure!(!bed.is_taken()?, "another bench runs in {}", bed.home.path().display());
        let measured = async {
            if !suite.starts_its_own() {
                bed.up().await?;
            }
            suite.run(&bed, options).await
        };
        let outcome = tokio::select! {
            outcome = measured => Some(outcome),
            _ = interrupt.recv() => None,
            _ = terminate.recv() => None,
        };
        bed.down().await?;
        let Some(outcome) = outcome else { return Ok(Exit::Interrupted) };
        let mut report = outcome?;
        if !suite.needs_engines_only() && suite != Suite::Failover {
            report.conditions.push("the regions are as near as one machine allows: `--link-latency 0ms`".to_owned());
        }
        if !options.json {
            line(format_args!("\n{report}"));
        }
        if let Some(folder) = &options.write {
            report.write(folder)?;
        }
        reports.push(report);
    }
    if options.json {
        line(serde_json::to_string_pretty(&reports)?);
    }
    let missed: Vec<_> = reports.iter().flat_map(Report::missed).collect();
    missed.iter().for_each(|claim| problem(format_args!("missed: {claim}")));
    Ok(if missed.is_empty() { Exit::Ok } else { Exit::Failed })
}
