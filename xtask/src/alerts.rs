//! `xtask alerts`: alerts watch metrics that the services export, and each has a page in `docs/runbooks/`.
//!
//! Of `alerts/market.yaml` lines are read, not YAML: `- alert: <name>`, `runbook_url: <page>`, and each word `market_..` outside comments.
//! A metric is exported when production code of a service or a crate has its name as a string literal. What the rules mean is tested by
//! `promtool`, with `alerts/tests.yaml`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::{
    pages::{Names, Subject, is_production},
    report::{Report, Violation},
    tree::{Source, Tree},
};

const RULES: &str = "alerts/market.yaml";
const RUNBOOKS: Subject = Subject {
    noun: "alert",
    folder: "docs/runbooks/",
    says: "what it means, what the shopper notices, how to look, what to do, when it is over",
    home: RULES,
};

/// What a histogram's series add to its name.
const SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

pub(crate) fn check(tree: &Tree) -> Result<Report> {
    let sources = tree.sources("rs")?;
    let services = sources.iter().filter(|source| ["services", "crates"].iter().any(|folder| is_production(&source.path, folder)));
    let metrics: BTreeSet<&str> = services.flat_map(Source::literals).map(|(_, text)| text).filter(|text| is_metric(text)).collect();
    let rules = Rules::read(&Source { path: RULES.to_owned(), text: tree.read(RULES)? });
    let looked_at = format!("{} alerts on {} of {} metrics", rules.alerts.len(), rules.metrics.len(), metrics.len());
    let mut violations = rules.judge(&metrics);
    violations.extend(RUNBOOKS.compare(&rules.alerts, &RUNBOOKS.pages(tree)));
    Ok(Report { name: "alerts", looked_at, violations, ..Report::default() })
}

fn is_metric(text: &str) -> bool {
    let is_word = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    is_word && text.starts_with("market_") && !text.ends_with('_')
}

/// What the file of rules names, and the lines.
#[derive(Debug, Default)]
struct Rules {
    /// Alerts.
    alerts: Names,
    /// The page that each alert leads to.
    pages: BTreeMap<String, (usize, String)>,
    /// Metrics, each where it comes first.
    metrics: BTreeMap<String, usize>,
}

impl Rules {
    fn read(source: &Source) -> Self {
        let (mut rules, mut last) = (Self::default(), String::new());
        for (index, line) in source.text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#')) {
            let line = line.trim_start().trim_start_matches("- ");
            if let Some(name) = line.strip_prefix("alert: ") {
                name.trim_end().clone_into(&mut last);
                rules.alerts.insert(last.clone(), (source.path.clone(), index + 1));
            } else if let Some(page) = line.strip_prefix("runbook_url: ") {
                rules.pages.insert(last.clone(), (index + 1, page.trim_end().to_owned()));
            }
            for word in line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').filter(|word| is_metric(word)) {
                rules.metrics.entry(word.to_owned()).or_insert(index + 1);
            }
        }
        rules
    }

    fn judge(&self, exported: &BTreeSet<&str>) -> Vec<Violation> {
        let violation = |line: usize, what: String, todo: String| Violation { file: RULES.to_owned(), line, what, todo };
        let is_exported = |name: &str| {
            let histogram = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
            exported.contains(name) || histogram.is_some_and(|name| exported.contains(name))
        };
        let unknown = self.metrics.iter().filter(|(name, _)| !is_exported(name)).map(|(name, line)| {
            violation(*line, format!("no service exports {name}"), "name a metric as it is spelt in the code, or export it".to_owned())
        });
        let misled = self.alerts.iter().filter_map(|(alert, (_, line))| {
            let wanted = format!("{}{alert}.md", RUNBOOKS.folder);
            let (line, what) = match self.pages.get(alert) {
                Some((_, page)) if *page == wanted => return None,
                Some((line, page)) => (*line, format!("alert {alert} leads to {page}")),
                None => (*line, format!("alert {alert} leads to no page")),
            };
            Some(violation(line, what, format!("runbook_url: {wanted}")))
        });
        unknown.chain(misled).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Vec<(usize, String)> {
        let exported = BTreeSet::from(["market_a_total", "market_b_seconds"]);
        let found = Rules::read(&Source::of(RULES, text)).judge(&exported);
        found.into_iter().map(|violation| (violation.line, violation.what)).collect()
    }

    #[test]
    fn a_metric_that_nobody_exports_is_found() {
        let text = "# market_comment_total\n- alert: A\n  expr: rate(market_a_total{x=\"y\"}[2m]) > market_b_seconds_count / market_gone\n  \
                    annotations:\n    runbook_url: docs/runbooks/A.md\n";
        assert_eq!(judged(text), [(3, "no service exports market_gone".to_owned())]);
    }

    #[test]
    fn an_alert_leads_to_its_own_page() {
        let text = "- alert: A\n  runbook_url: docs/runbooks/A.md\n- alert: B\n  runbook_url: docs/runbooks/A.md\n- alert: C\n";
        let wrong = [(4, "alert B leads to docs/runbooks/A.md".to_owned()), (5, "alert C leads to no page".to_owned())];
        assert_eq!(judged(text), wrong);
    }

    #[test]
    fn a_metric_is_a_whole_name() {
        assert!(is_metric("market_outbox_lag_seconds"));
        for text in ["market_", "market_{}_", "market_a_", "MARKET_A", "marketplace", "market_a b"] {
            assert!(!is_metric(text), "{text}");
        }
    }
}
