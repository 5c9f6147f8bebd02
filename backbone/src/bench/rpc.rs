//! Calls with all their behaviours: what they cost, and what they do when servers are slow, broken or flooded.
//!
//! Clients and servers are in this process and talk over loopback, so no market is started.

mod echo;
mod latency;
mod overload;
mod replica;
mod storm;

use anyhow::{Context as _, Result};

use self::{latency::Added, overload::Flood, replica::Fault};
use super::report::{Claim, Report, Series, Target};
use crate::output::problem;

/// Measures.
pub(super) async fn run(rounds: usize) -> Result<Report> {
    let (mut added, mut storms, mut floods) = (Vec::new(), Vec::new(), Vec::new());
    let mut replicas = [(Fault::Slow, Vec::new()), (Fault::Failing, Vec::new())];
    for round in 1..=rounds {
        let cost = latency::run().await.with_context(|| format!("latency, round {round}"))?;
        problem(format_args!("round {round}: {cost}"));
        added.push(cost);
        for (fault, outcomes) in &mut replicas {
            let outcome = replica::run(*fault).await.with_context(|| format!("{} replica, round {round}", fault.name()))?;
            problem(format_args!("round {round}: {} replica: {outcome}", fault.name()));
            outcomes.push(outcome);
        }
        let storm = storm::run().await.with_context(|| format!("retry storm, round {round}"))?;
        problem(format_args!("round {round}: {storm}"));
        storms.push(storm);
        let flood = overload::run().await.with_context(|| format!("overload, round {round}"))?;
        problem(format_args!("round {round}: {flood}"));
        floods.push(flood);
    }
    let mut report = Report::new("rpc", "What do calls cost with all their behaviours, and how do they behave when servers do not?");
    let mut figure = |name: &str, unit: &str, values: Vec<f64>, target: Option<Target>| {
        let series = Series::new(name, unit, values);
        report.claims.extend(target.map(|target| Claim::new(format!("{name}, {unit}"), series.median, target)));
        report.series.push(series);
    };
    let of = |read: fn(&Added) -> f64| added.iter().map(read).collect::<Vec<_>>();
    figure("bare tonic, p50", "us", of(|added| added.bare.0), None);
    figure("bare tonic, p99", "us", of(|added| added.bare.1), None);
    figure("added by client and server, p50", "us", of(|added| added.ours.0 - added.bare.0), Some(Target::AtMost(20.0)));
    figure("added by client and server, p99", "us", of(|added| added.ours.1 - added.bare.1), Some(Target::AtMost(100.0)));
    for (fault, outcomes) in &replicas {
        let of = |read: fn(&replica::Outcome) -> f64| outcomes.iter().map(read).collect::<Vec<_>>();
        let name = fault.name();
        figure(&format!("{name} replica: out after"), "s", of(|outcome| outcome.out), Some(Target::AtMost(3.0)));
        figure(&format!("{name} replica: back after"), "s", of(|outcome| outcome.back), None);
        figure(&format!("{name} replica: calls that failed"), "%", of(|outcome| outcome.failed * 100.0), Some(Target::AtMost(0.5)));
    }
    figure("tries for each call to a dead service", "", storms.iter().map(|storm| storm.held).collect(), Some(Target::AtMost(1.2)));
    figure("the same without a budget", "", storms.iter().map(|storm| storm.unheld).collect(), Some(Target::AtLeast(3.0)));
    let of = |read: fn(&Flood) -> f64| floods.iter().map(read).collect::<Vec<_>>();
    figure("peak", "answers/s", of(|flood| flood.peak), None);
    figure("goodput at 3 times the peak / the peak", "", of(|flood| flood.goodput / flood.peak), Some(Target::AtLeast(0.9)));
    figure("checkouts that were answered then", "%", of(|flood| flood.checkout * 100.0), None);
    figure("looks that were answered then", "%", of(|flood| flood.browse * 100.0), None);
    figure("all well again after", "s", of(|flood| flood.recovered), Some(Target::AtMost(5.0)));
    report.conditions = [latency::CONDITION, replica::CONDITION, storm::CONDITION, overload::CONDITION].map(str::to_owned).to_vec();
    Ok(report)
}
