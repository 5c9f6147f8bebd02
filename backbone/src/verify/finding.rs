//! What a look at the market found: for each promise what was looked at, and what is wrong.

use std::collections::BTreeMap;

use promises::Promise;

/// Most violations of a promise that are kept with their words; the rest is only counted.
const KEPT: usize = 20;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// No time will mend it.
    Broken,
    /// It may still come right. When time is up and it has not, a promise of progress is broken.
    Unsettled,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, e.g. `order 0199…`.
    pub subject: String,
    /// What is wrong with it.
    pub text: String,
}

/// What was found about one promise.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Tally {
    /// What was looked at, and how much of it.
    pub looked_at: BTreeMap<&'static str, i64>,
    /// Violations that no time will mend.
    pub broken: u64,
    /// Violations that may still come right.
    pub unsettled: u64,
    /// The first of them.
    pub examples: Vec<Violation>,
}

/// What was found about every promise that is checked.
#[derive(Debug, Clone, Default)]
pub struct Findings(BTreeMap<Promise, Tally>);

impl Findings {
    /// Counts what was looked at for a promise.
    pub fn looked_at(&mut self, promise: Promise, what: &'static str, count: impl TryInto<i64>) {
        *self.0.entry(promise).or_default().looked_at.entry(what).or_default() += count.try_into().unwrap_or(i64::MAX);
    }

    /// No time will mend this.
    pub fn broken(&mut self, promise: Promise, subject: impl Into<String>, text: impl Into<String>) {
        self.add(promise, Severity::Broken, subject.into(), text.into());
    }

    /// This may still come right.
    pub fn unsettled(&mut self, promise: Promise, subject: impl Into<String>, text: impl Into<String>) {
        self.add(promise, Severity::Unsettled, subject.into(), text.into());
    }

    fn add(&mut self, promise: Promise, severity: Severity, subject: String, text: String) {
        let tally = self.0.entry(promise).or_default();
        match severity {
            Severity::Broken => tally.broken += 1,
            Severity::Unsettled => tally.unsettled += 1,
        }
        // What is broken for good goes before what may still settle.
        let kept = |severity| tally.examples.iter().filter(|example| example.severity == severity).count();
        if kept(severity) < KEPT {
            tally.examples.push(Violation { severity, subject, text });
            tally.examples.sort_by_key(|example| example.severity == Severity::Unsettled);
        }
    }

    /// By promise.
    pub fn iter(&self) -> impl Iterator<Item = (Promise, &Tally)> {
        self.0.iter().map(|(promise, tally)| (*promise, tally))
    }

    /// Violations that no time will mend.
    #[must_use]
    pub fn count_broken(&self) -> u64 {
        self.0.values().map(|tally| tally.broken).sum()
    }

    /// Violations that may still come right.
    #[must_use]
    pub fn count_unsettled(&self) -> u64 {
        self.0.values().map(|tally| tally.unsettled).sum()
    }

    /// True when nothing is wrong.
    #[must_use]
    pub fn are_clean(&self) -> bool {
        self.count_broken() == 0 && self.count_unsettled() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_first_of_each_kind_are_kept() {
        let mut findings = Findings::default();
        for number in 0..30 {
            findings.unsettled(promises::ORDER_1, format!("order {number}"), "is still placed");
        }
        findings.broken(promises::ORDER_1, "order 31", "is gone");
        let (_, tally) = findings.iter().next().unwrap();
        assert_eq!((tally.broken, tally.unsettled, tally.examples.len()), (1, 30, KEPT + 1));
        assert_eq!(tally.examples[0].subject, "order 31", "the worst comes first");
        assert!(!findings.are_clean());
    }
}
