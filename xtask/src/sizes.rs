//! `xtask sizes`: files stay small and keep to the names of the rooms.
//!
//! Production lines are those before the closing `#[cfg(test)] mod tests { .. }` block: over 500 is reported, over 800 fails unless the
//! file is in [`LISTED`]. A tests block over 150 lines moves to `foo/tests.rs`.

use anyhow::Result;

use crate::{
    report::{Report, Violation},
    tree::{Source, Tree, production_lines},
};

const REPORTED: usize = 500;
const REFUSED: usize = 800;
const TESTS: usize = 150;

/// Files that may be longer, and why.
const LISTED: [(&str, &str); 0] = [];

/// Names that say nothing of what is inside: a type lives with its owner.
const FORBIDDEN: [&str; 6] = ["service.rs", "manager.rs", "helpers.rs", "utils.rs", "models.rs", "types.rs"];

pub(crate) fn check(tree: &Tree) -> Result<Report> {
    let sources = tree.sources("rs")?;
    let mut report = Report { name: "sizes", ..Report::default() };
    let mut sizes: Vec<usize> = sources.iter().map(|source| production_lines(&source.text)).collect();
    sizes.sort_unstable();
    let at = |percent: usize| sizes.get(sizes.len() * percent / 100).copied().unwrap_or_default();
    report.looked_at = format!("{} files; production lines: median {}, p90 {}", sources.len(), at(50), at(90));
    for source in &sources {
        judge(source, &LISTED, &mut report);
    }
    Ok(report)
}

fn judge(source: &Source, listed: &[(&str, &str)], report: &mut Report) {
    let Source { path, text } = source;
    let mut fail = |line: usize, what: String, todo: &str| {
        report.violations.push(Violation { file: path.clone(), line, what, todo: todo.to_owned() });
    };
    let name = path.rsplit('/').next().unwrap_or(path);
    if name == "mod.rs" {
        fail(1, "mod.rs".to_owned(), "name it after its folder and put it beside: foo/mod.rs becomes foo.rs");
    }
    if FORBIDDEN.contains(&name) || path.split('/').any(|part| part.starts_with("common")) {
        fail(1, "a name that says nothing".to_owned(), "name it after what is inside, or move each thing to its owner");
    }
    let production = production_lines(text);
    let tests = text.lines().count() - production;
    if tests > TESTS {
        let todo = format!("move them to {}/tests.rs", path.trim_end_matches(".rs"));
        fail(production + 1, format!("{tests} lines of tests, {TESTS} at most"), &todo);
    }
    let reason = listed.iter().find(|(file, _)| file == path).map(|(_, reason)| *reason);
    match reason {
        None if production > REFUSED => {
            fail(REFUSED, format!("{production} lines, {REFUSED} at most"), "split it, or list it with a reason in xtask/src/sizes.rs");
        }
        Some(_) if production <= REFUSED => {
            fail(1, "listed as too long, and is not".to_owned(), "take it off LISTED in xtask/src/sizes.rs")
        }
        Some(reason) => report.notes.push(format!("{path} has {production} lines: {reason}")),
        None if production > REPORTED => report.notes.push(format!("{path} has {production} lines; over {REPORTED} is worth a split")),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(path: &str, lines: usize, listed: &[(&str, &str)]) -> Report {
        let mut report = Report::default();
        judge(&Source::of(path, &"x\n".repeat(lines)), listed, &mut report);
        report
    }

    #[test]
    fn over_500_is_reported_and_over_800_refused() {
        let quiet = judged("a/b.rs", 500, &[]);
        assert!(quiet.passed() && quiet.notes.is_empty());
        let noted = judged("a/b.rs", 501, &[]);
        assert!(noted.passed() && noted.notes.len() == 1);
        assert!(!judged("a/b.rs", 801, &[]).passed());
    }

    #[test]
    fn a_listed_file_may_be_longer_but_not_for_ever() {
        let listed = [("a/b.rs", "one table")];
        assert!(judged("a/b.rs", 801, &listed).passed());
        assert!(!judged("a/b.rs", 100, &listed).passed());
    }

    #[test]
    fn names_that_say_nothing_are_refused() {
        for path in ["a/mod.rs", "src/utils.rs", "a/types.rs", "crates/common/src/lib.rs", "src/common_things.rs"] {
            assert!(!judged(path, 1, &[]).passed(), "{path}");
        }
        assert!(judged("src/model.rs", 1, &[]).passed());
    }

    #[test]
    fn long_tests_move_out() {
        let text = format!("//! A.\n\n#[cfg(test)]\nmod tests {{\n{}}}\n", "x\n".repeat(150));
        let mut report = Report::default();
        judge(&Source::of("a/b.rs", &text), &[], &mut report);
        assert_eq!(report.violations[0].todo, "move them to a/b/tests.rs");
    }
}
