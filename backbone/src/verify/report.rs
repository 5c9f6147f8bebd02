//! What `verify` tells: a table and the violations, or the same as JSON.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::finding::{Findings, Severity, Tally};
use crate::output::{line, seconds, table};

/// How it went.
#[derive(Debug)]
pub(super) struct Verdict<'a> {
    /// What was found at last.
    pub(super) findings: &'a Findings,
    /// How often everything was looked at.
    pub(super) looks: u32,
    /// From the first look to the end of the last.
    pub(super) took: Duration,
}

#[derive(Serialize)]
struct Json<'a> {
    clean: bool,
    broken: u64,
    unsettled: u64,
    looks: u32,
    took_ms: u128,
    promises: BTreeMap<&'static str, JsonPromise<'a>>,
}

#[derive(Serialize)]
struct JsonPromise<'a> {
    text: &'static str,
    #[serde(flatten)]
    tally: &'a Tally,
}

impl Verdict<'_> {
    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            line(self.json()?);
        } else {
            line(self.text());
        }
        Ok(())
    }

    fn json(&self) -> serde_json::Result<String> {
        let findings = self.findings;
        serde_json::to_string_pretty(&Json {
            clean: findings.are_clean(),
            broken: findings.count_broken(),
            unsettled: findings.count_unsettled(),
            looks: self.looks,
            took_ms: self.took.as_millis(),
            promises: findings.iter().map(|(promise, tally)| (promise.id, JsonPromise { text: promise.text, tally })).collect(),
        })
    }

    fn text(&self) -> String {
        let mut rows = vec![["PROMISE", "KEPT", "LOOKED AT"].map(str::to_owned).to_vec()];
        for (promise, tally) in self.findings.iter() {
            let kept = match (tally.broken, tally.unsettled) {
                (0, 0) => "yes".to_owned(),
                (broken, 0) => format!("NO, {broken} broken"),
                (0, unsettled) => format!("NO, {unsettled} not settled"),
                (broken, unsettled) => format!("NO, {broken} broken, {unsettled} not settled"),
            };
            let looked_at = tally.looked_at.iter().map(|(what, count)| format!("{} {what}", grouped(*count)));
            rows.push(vec![promise.id.to_owned(), kept, looked_at.collect::<Vec<_>>().join(", ")]);
        }
        let mut text = table(&rows);
        for (promise, tally) in self.findings.iter().filter(|(_, tally)| !tally.examples.is_empty()) {
            text.push_str(&format!("\n\n{promise}: {}", promise.text));
            for example in &tally.examples {
                let settles = if example.severity == Severity::Unsettled { " (did not settle)" } else { "" };
                text.push_str(&format!("\n  {} {}{settles}", example.subject, example.text));
            }
            let shown = u64::try_from(tally.examples.len()).unwrap_or(u64::MAX);
            let more = (tally.broken + tally.unsettled).saturating_sub(shown);
            if more > 0 {
                text.push_str(&format!("\n  and {} more", grouped(i64::try_from(more).unwrap_or(i64::MAX))));
            }
        }
        let verdict = if self.findings.are_clean() { "every promise is kept" } else { "PROMISES ARE BROKEN" };
        let looks = if self.looks == 1 { "1 look".to_owned() } else { format!("{} looks", self.looks) };
        text.push_str(&format!("\n\n{verdict}; {looks} in {}", seconds(self.took)));
        text
    }
}

/// `1,234,567`.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let sign = if number < 0 { "-" } else { "" };
    let first = digits.len() % 3;
    let groups = digits.as_bytes().iter().enumerate().fold(String::new(), |mut text, (place, digit)| {
        if place > 0 && place % 3 == first {
            text.push(',');
        }
        text.push(char::from(*digit));
        text
    });
    format!("{sign}{groups}")
}

#[cfg(test)]
mod tests {
    use promises::{ORDER_1, PAY_1};

    use super::*;

    fn verdict(findings: &Findings) -> String {
        Verdict { findings, looks: 2, took: Duration::from_millis(1500) }.text()
    }

    #[test]
    fn the_table_tells_what_was_looked_at_and_what_is_wrong() {
        let mut findings = Findings::default();
        findings.looked_at(ORDER_1, "orders", 12_345);
        let text = verdict(&findings);
        assert!(text.contains("ORDER-1  yes   12,345 orders") && text.ends_with("every promise is kept; 2 looks in 1.5 s"), "{text}");
        findings.broken(PAY_1, "order 7", "was captured more than once");
        findings.unsettled(ORDER_1, "order 8", "is still placed");
        let text = verdict(&findings);
        for words in ["NO, 1 broken", "NO, 1 not settled", "\n  order 8 is still placed (did not settle)", "PROMISES ARE BROKEN"] {
            assert!(text.contains(words), "{words} is not in {text}");
        }
    }

    #[test]
    fn json_has_every_figure() {
        let mut findings = Findings::default();
        findings.looked_at(ORDER_1, "orders", 3);
        findings.broken(ORDER_1, "order 7", "is gone");
        let verdict = Verdict { findings: &findings, looks: 1, took: Duration::from_secs(1) };
        let value: serde_json::Value = serde_json::from_str(&verdict.json().unwrap()).unwrap();
        assert_eq!((&value["clean"], &value["broken"], &value["took_ms"]), (&false.into(), &1.into(), &1000.into()));
        let promise = &value["promises"]["ORDER-1"];
        assert_eq!((&promise["looked_at"]["orders"], &promise["examples"][0]["severity"]), (&3.into(), &"broken".into()));
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567"), (12_345, "12,345")] {
            assert_eq!(grouped(number), text);
        }
    }
}
