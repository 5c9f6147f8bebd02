//! What was found: printed, and written beside the other benchmarks in the form that `backbone bench` gives them.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde::Serialize;

/// As `backbone` reads it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) suite: String,
    pub(crate) question: String,
    pub(crate) at: String,
    pub(crate) machine: String,
    pub(crate) conditions: Vec<String>,
    pub(crate) series: Vec<Series>,
    pub(crate) claims: Vec<Claim>,
}

/// One figure, once a round.
#[derive(Debug, Serialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) median: f64,
    pub(crate) rounds: Vec<f64>,
}

/// A figure that was promised, and what came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Claim {
    name: String,
    value: f64,
    target: Target,
    is_met: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Series {
    pub(crate) fn new(name: String, unit: &str, rounds: Vec<f64>) -> Self {
        Self { name, unit: unit.to_owned(), median: median(&rounds), rounds }
    }

    /// The median over the rounds of this series' figure divided by `other`'s of the same round.
    pub(crate) fn ratio_to(&self, other: &Self) -> f64 {
        let ratios: Vec<_> = self.rounds.iter().zip(&other.rounds).map(|(mine, theirs)| mine / theirs).collect();
        median(&ratios)
    }
}

impl Claim {
    pub(crate) fn new(name: impl Into<String>, value: f64, target: Target) -> Self {
        let is_met = match target {
            Target::AtLeast(bound) => value >= bound,
            Target::AtMost(bound) => value <= bound,
        };
        Self { name: name.into(), value, target, is_met }
    }

    fn cells(&self) -> [String; 4] {
        let target = match self.target {
            Target::AtLeast(bound) => format!("at least {}", figure(bound)),
            Target::AtMost(bound) => format!("at most {}", figure(bound)),
        };
        [self.name.clone(), figure(self.value), target, if self.is_met { "met" } else { "**missed**" }.to_owned()]
    }
}

impl Report {
    pub(crate) fn new(suite: &str, question: &str) -> Self {
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

    /// Writes `folder/benchmarks/<suite>.json`, and the suite's section of `folder/benchmarks.md`.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let json = folder.join("benchmarks").join(format!("{}.json", self.suite));
        fs::write(&json, serde_json::to_string_pretty(self)? + "\n").with_context(|| format!("write {}", json.display()))?;
        let page = folder.join("benchmarks.md");
        let text = fs::read_to_string(&page).with_context(|| format!("read {}", page.display()))?;
        fs::write(&page, with_section(&text, &self.suite, &self.section())).with_context(|| format!("write {}", page.display()))
    }

    fn section(&self) -> String {
        let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = format!("## {}\n\n{}\n\n", self.suite, self.question);
        if !self.claims.is_empty() {
            text.push_str("| claim | measured | target | outcome |\n| --- | ---: | ---: | --- |\n");
            self.claims.iter().for_each(|claim| text.push_str(&row(&claim.cells())));
            text.push('\n');
        }
        text.push_str("| figure | unit | median | rounds |\n| --- | --- | ---: | --- |\n");
        for series in &self.series {
            text.push_str(&row(&[series.name.clone(), series.unit.clone(), figure(series.median), series.figures()]));
        }
        text.push('\n');
        self.conditions.iter().for_each(|condition| text.push_str(&format!("- {condition}\n")));
        text + &format!("- {}, {}\n", self.machine, self.at)
    }
}

impl Series {
    fn figures(&self) -> String {
        let rounds: Vec<_> = self.rounds.iter().copied().map(figure).collect();
        rounds.join(" ")
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}: {}", self.suite, self.question)?;
        for series in &self.series {
            writeln!(f, "  {:<54} {:>9} {:<7} ({})", series.name, figure(series.median), series.unit, series.figures())?;
        }
        for claim in &self.claims {
            let [name, value, target, outcome] = claim.cells();
            writeln!(f, "  {name:<54} {value:>9} {target}: {outcome}")?;
        }
        self.conditions.iter().try_for_each(|condition| writeln!(f, "  - {condition}"))
    }
}

/// `page` with this section in its place: sections are in order of their names, which start their first lines.
fn with_section(page: &str, name: &str, section: &str) -> String {
    let mut parts = page.split("\n## ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    let of_others = |part: &&str| part.lines().next() != Some(name);
    let (before, after): (Vec<&str>, Vec<&str>) = parts.filter(of_others).partition(|part| part.lines().next() < Some(name));
    let heading_cut = section.strip_prefix("## ").unwrap_or(section);
    for part in before.into_iter().chain([heading_cut]).chain(after) {
        text.push_str("\n## ");
        text.push_str(part);
    }
    text
}

/// The middle one; of an even number, the mean of the two.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
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
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = info.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    format!("{cores} cores, {} GiB", kib.unwrap_or_default().div_ceil(1024 * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_takes_its_place_and_leaves_the_others_alone() {
        let page = "# Benchmarks\n\nText.\n\n## checkout\n\none\n\n## spine\n\ntwo\n";
        let with = with_section(page, "crdt", "## crdt\n\nnew\n");
        assert_eq!(with, "# Benchmarks\n\nText.\n\n## checkout\n\none\n\n## crdt\n\nnew\n\n## spine\n\ntwo\n");
        assert_eq!(with_section(&with, "crdt", "## crdt\n\nnew\n"), with, "in place of the old one");
    }
}
