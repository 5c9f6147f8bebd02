//! `xtask pages`: every error reason that callers can see has a page in `docs/errors/`, and every page a reason.
//!
//! A reason is a string literal such as `"INVENTORY_OUT_OF_STOCK"`: capitals that begin with a service's name, in production code of
//! `services/*/src`. `config.rs` is left out, because there such literals are names of environment variables. To these come the four
//! [`GENERIC`] reasons of `crates/rpc`.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::{
    report::{Report, Violation},
    tree::Tree,
};

const PREFIXES: [&str; 10] = ["BFF_", "CART_", "INVENTORY_", "PAYMENT_", "ORDER_", "SEARCH_", "EDGE_", "PSP_", "LINKS_", "REGION_"];

/// Reasons that any service may give.
const GENERIC: [&str; 4] = ["DEPENDENCY_UNAVAILABLE", "DEADLINE_EXCEEDED", "OVERLOADED", "INTERNAL"];

const ERRORS: Subject =
    Subject { noun: "reason", folder: "docs/errors/", says: "what it means, what to do, its kind and HTTP status", home: "the code" };

/// Things that have a page each.
pub(crate) struct Subject {
    /// What one of them is called.
    pub(crate) noun: &'static str,
    /// Where the pages are, with a `/` at its end.
    pub(crate) folder: &'static str,
    /// What a page says.
    pub(crate) says: &'static str,
    /// Where the names come from.
    pub(crate) home: &'static str,
}

/// Names, each with the file and the line where it was found.
pub(crate) type Names = BTreeMap<String, (String, usize)>;

pub(crate) fn check(tree: &Tree) -> Result<Report> {
    let pages = ERRORS.pages(tree);
    let mut reasons: Names = GENERIC.iter().map(|reason| ((*reason).to_owned(), ("crates/rpc/src/failure.rs".to_owned(), 1))).collect();
    for source in tree.sources("rs")?.iter().filter(|source| is_production(&source.path, "services")) {
        for (line, reason) in source.literals().filter(|(_, text)| is_reason(text)) {
            reasons.entry(reason.to_owned()).or_insert_with(|| (source.path.clone(), line));
        }
    }
    let looked_at = format!("{} reasons, {} pages", reasons.len(), pages.len());
    Ok(Report { name: "pages", looked_at, violations: ERRORS.compare(&reasons, &pages), ..Report::default() })
}

/// `<folder>/<name>/src/**`, but neither settings nor tests.
pub(crate) fn is_production(path: &str, folder: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(parts[..], [first, _, "src", ..] if first == folder) && !matches!(parts.last(), Some(&("config.rs" | "tests.rs")))
}

fn is_reason(text: &str) -> bool {
    let capitals = text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    capitals && PREFIXES.iter().any(|prefix| text.len() > prefix.len() && text.starts_with(prefix))
}

impl Subject {
    /// Names of the pages there are.
    pub(crate) fn pages<'t>(&self, tree: &'t Tree) -> Vec<&'t str> {
        tree.files().iter().filter_map(|path| path.strip_prefix(self.folder)?.strip_suffix(".md")).collect()
    }

    /// Names without a page, and pages without a name.
    pub(crate) fn compare(&self, names: &Names, pages: &[&str]) -> Vec<Violation> {
        let Self { noun, folder, says, home } = self;
        let without_page = names.iter().filter(|(name, _)| !pages.contains(&name.as_str())).map(|(name, (file, line))| Violation {
            file: file.clone(),
            line: *line,
            what: format!("{noun} {name} has no page"),
            todo: format!("write {folder}{name}.md: {says}"),
        });
        let without_name = pages.iter().filter(|page| **page != "README" && !names.contains_key(**page)).map(|page| Violation {
            file: format!("{folder}{page}.md"),
            line: 1,
            what: format!("there is no {noun} {page}"),
            todo: format!("remove the page, or name it as the {noun} is spelt in {home}"),
        });
        without_page.chain(without_name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Source;

    #[test]
    fn reasons_are_literals_in_production_code() {
        let text = "//! \"ORDER_IN_DOCS\"\nlet a = f(\"ORDER_KEY_REUSED\", \"PSP_\"); // text\nconst B: &str = \"order\";\n\n\
                    #[cfg(test)]\nmod tests {\n    f(\"ORDER_IN_TESTS\");\n}\n";
        let source = Source::of("services/order/src/api.rs", text);
        let reasons: Vec<_> = source.literals().filter(|(_, text)| is_reason(text)).collect();
        assert_eq!(reasons, [(2, "ORDER_KEY_REUSED")]);
    }

    #[test]
    fn settings_and_tests_are_left_out() {
        assert!(is_production("services/order/src/api/place.rs", "services"));
        for path in [
            "services/order/src/config.rs",
            "services/order/src/domain/tests.rs",
            "services/order/tests/it/main.rs",
            "backbone/src/plan.rs",
        ] {
            assert!(!is_production(path, "services"), "{path}");
        }
    }

    #[test]
    fn a_reason_without_page_and_a_page_without_reason_are_found() {
        let reasons = BTreeMap::from([("ORDER_A".to_owned(), ("a.rs".to_owned(), 7)), ("ORDER_B".to_owned(), ("b.rs".to_owned(), 1))]);
        let found = ERRORS.compare(&reasons, &["ORDER_B", "ORDER_C", "README"]);
        assert_eq!((found[0].file.as_str(), found[0].line), ("a.rs", 7));
        assert_eq!(found[1].file, "docs/errors/ORDER_C.md");
        assert_eq!(found.len(), 2);
    }
}
