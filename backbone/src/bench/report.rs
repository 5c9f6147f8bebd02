//! What a suite found: series with their medians, and claims with their targets.

use std::{
    fmt,
    fs::{create_dir_all, read_dir, read_to_string},
    path::Path,
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::measure::median;
use crate::{home::write_atomically, output::table};

/// What one suite found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Report {
    /// Its name.
    pub(super) suite: String,
    /// What was asked.
    pub(super) question: String,
    /// When it ended, RFC 3339.
    pub(super) at: String,
    /// Cores and memory.
    pub(super) machine: String,
    /// What the figures hold under.
    pub(super) conditions: Vec<String>,
    pub(super) series: Vec<Series>,
    pub(super) claims: Vec<Claim>,
}

/// One figure, once a round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) median: f64,
    pub(super) rounds: Vec<f64>,
}

/// A figure that was promised, and what came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Claim {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) target: Target,
    pub(super) is_met: bool,
}

/// What is good enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Series {
    pub(super) fn new(name: impl Into<String>, unit: &str, rounds: Vec<f64>) -> Self {
        Self { name: name.into(), unit: unit.to_owned(), median: median(&rounds), rounds }
    }

    /// The median over the rounds of this series' figure divided by `other`'s of the same round.
    pub(super) fn ratio_to(&self, other: &Self) -> f64 {
        let ratios: Vec<_> = self.rounds.iter().zip(&other.rounds).map(|(ours, theirs)| ours / theirs).collect();
        median(&ratios)
    }
}

impl Claim {
    pub(super) fn new(name: impl Into<String>, value: f64, target: Target) -> Self {
        let is_met = match target {
            Target::AtLeast(bound) => value >= bound,
            Target::AtMost(bound) => value <= bound,
        };
        Self { name: name.into(), value, target, is_met }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, {}", self.name, figure(self.value), self.target)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "at least {}", figure(*bound)),
            Self::AtMost(bound) => write!(f, "at most {}", figure(*bound)),
        }
    }
}

impl Report {
    pub(super) fn new(suite: &str, question: &str) -> Self {
        Self {
            suite: suite.to_owned(),
            question: question.to_owned(),
            at: humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string(),
            machine: machine(),
            conditions: Vec::new(),
            series: Vec::new(),
            claims: Vec::new(),
        }
    }

    pub(super) fn missed(&self) -> impl Iterator<Item = &Claim> {
        self.claims.iter().filter(|claim| !claim.is_met)
    }

    /// Writes it to `folder/benchmarks/<suite>.json`, and `folder/benchmarks.md` anew from all that are there.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let results = folder.join("benchmarks");
        create_dir_all(&results).with_context(|| format!("create {}", results.display()))?;
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        write_atomically(&results.join(format!("{}.json", self.suite)), 0o644, &json)?;
        write_atomically(&folder.join("benchmarks.md"), 0o644, page(&results)?.as_bytes())
    }

    fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n", self.suite, self.question);
        let mut row = |cells: &[&str]| text.push_str(&format!("| {} |\n", cells.join(" | ")));
        if !self.claims.is_empty() {
            row(&["claim", "measured", "target", "outcome"]);
            row(&["---", "---:", "---:", "---"]);
            for claim in &self.claims {
                row(&[&claim.name, &figure(claim.value), &claim.target.to_string(), if claim.is_met { "met" } else { "**missed**" }]);
            }
            row(&[]);
        }
        row(&["figure", "unit", "median", "rounds"]);
        row(&["---", "---", "---:", "---"]);
        for series in &self.series {
            let rounds: Vec<_> = series.rounds.iter().copied().map(figure).collect();
            row(&[&series.name, &series.unit, &figure(series.median), &rounds.join(" ")]);
        }
        let text = text.replace("|  |\n", "\n");
        let conditions: String = self.conditions.iter().map(|condition| format!("- {condition}\n")).collect();
        format!("{text}\n{conditions}- {}, {}\n", self.machine, self.at)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.suite, self.question)?;
        let mut rows = Vec::new();
        for series in &self.series {
            let rounds: Vec<_> = series.rounds.iter().copied().map(figure).collect();
            rows.push(vec![format!("  {}", series.name), figure(series.median), series.unit.clone(), format!("({})", rounds.join(" "))]);
        }
        for claim in &self.claims {
            let met = if claim.is_met { "met" } else { "MISSED" };
            rows.push(vec![format!("  {}", claim.name), figure(claim.value), claim.target.to_string(), met.to_owned()]);
        }
        write!(f, "{}", table(&rows))
    }
}

fn page(results: &Path) -> Result<String> {
    let mut files: Vec<_> = read_dir(results)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let mut page = "# Benchmarks\n\nWritten by `backbone bench --write docs`; the figures are in `benchmarks/*.json`. Each figure is the median of its rounds, which alternate with \
                    the rival's\non the same machine; a ratio is the median of the rounds' ratios. `make bench` measures again.\n"
        .to_owned();
    for file in files {
        let report: Report = serde_json::from_str(&read_to_string(&file)?).with_context(|| format!("read {}", file.display()))?;
        page.push('\n');
        page.push_str(&report.markdown());
    }
    Ok(page)
}

/// Three figures that count.
fn figure(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = info.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    format!("{cores} cores, {} GiB", kib.unwrap_or_default().div_ceil(1024 * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("one", "How fast?");
        report.series.push(Series::new("ours", "1/s", vec![10.0, 30.0, 20.0]));
        report.series.push(Series::new("rival", "1/s", vec![20.0, 20.0, 20.0]));
        report.claims.push(Claim::new("half as fast", report.series[0].ratio_to(&report.series[1]), Target::AtLeast(0.5)));
        report.claims.push(Claim::new("faster", 1.0, Target::AtLeast(2.0)));
        report
    }

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_ratios() {
        let report = report();
        assert!((report.claims[0].value - 1.0).abs() < f64::EPSILON);
        assert_eq!(report.missed().map(|claim| claim.name.as_str()).collect::<Vec<_>>(), ["faster"]);
    }

    #[test]
    fn the_page_is_made_of_all_results() {
        let folder = std::env::temp_dir().join(format!("backbone-bench-{}", std::process::id()));
        report().write(&folder).unwrap();
        Report { suite: "two".to_owned(), ..report() }.write(&folder).unwrap();
        let page = read_to_string(folder.join("benchmarks.md")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(page.contains("## one") && page.contains("## two"));
        assert!(page.contains("| half as fast | 1.00 | at least 0.50 | met |"), "{page}");
        assert!(page.contains("| ours | 1/s | 20.0 | 10.0 30.0 20.0 |"), "{page}");
        assert!(!page.contains("|  |"), "{page}");
    }
}
