//! Checks of the repository that no other tool makes. Each prints what it looked at and, for each violation, where it is and what to do.
//!
//! A check is a pure function over what was read, so that its tests can plant violations.

mod alerts;
mod layers;
mod links;
mod pages;
mod proto;
mod report;
mod sizes;
mod tree;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{report::Report, tree::Tree};

#[derive(Parser)]
#[command(about = "Checks of the repository. Exit code 1 when one fails.")]
struct Arguments {
    #[command(subcommand)]
    check: Check,
}

#[derive(Subcommand)]
enum Check {
    /// Crates depend only downwards (docs of the layers: xtask/src/layers.rs)
    Layers,
    /// Files stay small and keep to the names of the rooms
    Sizes,
    /// Every error reason has a page in docs/errors, and every page a reason
    Pages,
    /// Alerts watch metrics that are exported, and every alert has a page in docs/runbooks, and every page an alert
    Alerts,
    /// Links in Markdown lead somewhere, files are small, Rust files say what they are
    Links,
    /// buf's rules for the contract, and no breaking change of it
    Proto(proto::Options),
    /// All of them but `proto`
    All,
}

impl Check {
    fn run(&self, tree: &Tree) -> Result<Vec<Report>> {
        Ok(match self {
            Self::Layers => vec![layers::check(tree)?],
            Self::Sizes => vec![sizes::check(tree)?],
            Self::Pages => vec![pages::check(tree)?],
            Self::Alerts => vec![alerts::check(tree)?],
            Self::Links => vec![links::check(tree)?],
            Self::Proto(options) => vec![proto::check(tree, options)?],
            Self::All => {
                let mut reports = Vec::new();
                for check in [Self::Layers, Self::Sizes, Self::Pages, Self::Alerts, Self::Links] {
                    reports.extend(check.run(tree)?);
                }
                reports
            }
        })
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let reports = arguments.check.run(&Tree::open()?)?;
    for report in &reports {
        report::print(report);
    }
    Ok(if reports.iter().all(Report::passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
