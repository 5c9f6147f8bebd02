//! `xtask pages`: every error reason that callers can see has a page in `docs/errors/`, and every page a reason.
//!
//! A reason is a string literal such as `"INVENTORY_OUT_OF_STOCK"`: capitals that begin with a service's name, in production code of
//! `services/*/src`. `config.rs` is left out, because there such literals are names of environment variables. To these come the three
//! [`GENERIC`] reasons of `crates/rpc`.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::{
    report::{Report, Violation},
    tree::{Source, Tree, production_lines},
};

const PREFIXES: [&str; 8] = ["BFF_", "CART_", "INVENTORY_", "PAYMENT_", "ORDER_", "SEARCH_", "EDGE_", "PSP_"];

/// Reasons that any service may give.
const GENERIC: [&str; 3] = ["DEPENDENCY_UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL"];

const FOLDER: &str = "docs/errors/";

pub(crate) fn check(tree: &Tree) -> Result<Report> {
    let pages: Vec<&str> = tree.files().iter().filter_map(|path| path.strip_prefix(FOLDER)?.strip_suffix(".md")).collect();
    let mut reasons: BTreeMap<String, (String, usize)> =
        GENERIC.iter().map(|reason| ((*reason).to_owned(), ("crates/rpc/src/failure.rs".to_owned(), 1))).collect();
    for source in tree.sources("rs")?.iter().filter(|source| speaks_to_callers(&source.path)) {
        for (line, reason) in reasons_in(source) {
            reasons.entry(reason).or_insert_with(|| (source.path.clone(), line));
        }
    }
    let looked_at = format!("{} reasons, {} pages", reasons.len(), pages.len());
    Ok(Report { name: "pages", looked_at, violations: compare(&reasons, &pages), ..Report::default() })
}

/// `services/<name>/src/**`, but neither settings nor tests.
fn speaks_to_callers(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(parts[..], ["services", _, "src", ..]) && !matches!(parts.last(), Some(&("config.rs" | "tests.rs")))
}

fn reasons_in(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in source.text.lines().take(production_lines(&source.text)).enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        // What stands between two quotes: a literal, unless it is what stands between two literals, which is never all capitals.
        found.extend(line.split('"').filter(|piece| is_reason(piece)).map(|piece| (index + 1, piece.to_owned())));
    }
    found
}

fn is_reason(text: &str) -> bool {
    let capitals = text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    capitals && PREFIXES.iter().any(|prefix| text.len() > prefix.len() && text.starts_with(prefix))
}

fn compare(reasons: &BTreeMap<String, (String, usize)>, pages: &[&str]) -> Vec<Violation> {
    let without_page = reasons.iter().filter(|(reason, _)| !pages.contains(&reason.as_str())).map(|(reason, (file, line))| Violation {
        file: file.clone(),
        line: *line,
        what: format!("reason {reason} has no page"),
        todo: format!("write {FOLDER}{reason}.md: what it means, what to do, its kind and HTTP status"),
    });
    let without_reason = pages.iter().filter(|page| **page != "README" && !reasons.contains_key(**page)).map(|page| Violation {
        file: format!("{FOLDER}{page}.md"),
        line: 1,
        what: format!("no service gives reason {page}"),
        todo: "remove the page, or name it as the reason is spelt in the code".to_owned(),
    });
    without_page.chain(without_reason).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_literals_in_production_code() {
        let text = "//! \"ORDER_IN_DOCS\"\nlet a = f(\"ORDER_KEY_REUSED\", \"PSP_\"); // text\nconst B: &str = \"order\";\n\n\
                    #[cfg(test)]\nmod tests {\n    f(\"ORDER_IN_TESTS\");\n}\n";
        assert_eq!(reasons_in(&Source::of("services/order/src/api.rs", text)), [(2, "ORDER_KEY_REUSED".to_owned())]);
    }

    #[test]
    fn settings_and_tests_are_left_out() {
        assert!(speaks_to_callers("services/order/src/api/place.rs"));
        for path in [
            "services/order/src/config.rs",
            "services/order/src/domain/tests.rs",
            "services/order/tests/it/main.rs",
            "backbone/src/plan.rs",
        ] {
            assert!(!speaks_to_callers(path), "{path}");
        }
    }

    #[test]
    fn a_reason_without_page_and_a_page_without_reason_are_found() {
        let reasons = BTreeMap::from([("ORDER_A".to_owned(), ("a.rs".to_owned(), 7)), ("ORDER_B".to_owned(), ("b.rs".to_owned(), 1))]);
        let found = compare(&reasons, &["ORDER_B", "ORDER_C", "README"]);
        assert_eq!((found[0].file.as_str(), found[0].line), ("a.rs", 7));
        assert_eq!(found[1].file, "docs/errors/ORDER_C.md");
        assert_eq!(found.len(), 2);
    }
}
