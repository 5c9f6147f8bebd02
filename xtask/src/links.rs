//! `xtask links`: relative links in Markdown lead to a file, no file is over 1 MB, every Rust file opens with `//!`.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{
    report::{Report, Violation},
    tree::{Source, Tree},
};

const LARGEST: u64 = 1_000_000;

pub(crate) fn check(tree: &Tree) -> Result<Report> {
    let (markdown, rust) = (tree.sources("md")?, tree.sources("rs")?);
    let mut violations = Vec::new();
    let mut links = 0;
    for source in &markdown {
        for (line, target) in links_in(&source.text) {
            links += 1;
            if !leads_somewhere(tree.root(), &source.path, &target) {
                let what = format!("link to {target}, which does not exist");
                violations.push(Violation { file: source.path.clone(), line, what, todo: "mend or remove the link".to_owned() });
            }
        }
    }
    for path in tree.files() {
        let bytes = std::fs::metadata(tree.root().join(path)).with_context(|| format!("look at {path}"))?.len();
        if bytes > LARGEST {
            let todo = "generate or download it; git keeps every version for ever".to_owned();
            violations.push(Violation { file: path.clone(), line: 1, what: format!("{bytes} bytes, {LARGEST} at most"), todo });
        }
    }
    violations.extend(rust.iter().filter_map(unexplained));
    let looked_at =
        format!("{links} links in {} Markdown files, {} Rust files, {} files in all", markdown.len(), rust.len(), tree.files().len());
    Ok(Report { name: "links", looked_at, violations, ..Report::default() })
}

fn unexplained(source: &Source) -> Option<Violation> {
    (!source.text.starts_with("//! ")).then(|| Violation {
        file: source.path.clone(),
        line: 1,
        what: "does not open with `//!`".to_owned(),
        todo: "begin with a line that says what the file is and what it promises".to_owned(),
    })
}

/// Relative targets of `[text](target)` and `[name]: target`, outside code blocks.
fn links_in(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let inline = line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
        let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
        let targets = inline.chain(definition).filter_map(|target| target.split_whitespace().next());
        found.extend(targets.filter(|target| is_relative(target)).map(|target| (index + 1, target.to_owned())));
    }
    found
}

fn is_relative(target: &str) -> bool {
    !target.starts_with('#') && !target.contains("://") && !target.starts_with("mailto:")
}

fn leads_somewhere(root: &Path, from: &str, target: &str) -> bool {
    let path = target.split(['#', '?']).next().unwrap_or(target);
    let base = match path.strip_prefix('/') {
        Some(path) => root.join(path),
        None => root.join(from).parent().unwrap_or(root).join(path),
    };
    base.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_links_are_found_and_others_left_alone() {
        let text = "see [a](docs/a.md#top) and [b](https://x.org), ![p](p.png \"P\")\n[c](#here)\n```\n[d](gone.md)\n```\n[e]: e.md\n";
        assert_eq!(links_in(text), [(1, "docs/a.md#top".to_owned()), (1, "p.png".to_owned()), (6, "e.md".to_owned())]);
    }

    #[test]
    fn a_link_is_followed_from_its_file() {
        // Where cargo runs it, not where it was compiled: two checkouts may share a target folder.
        let root = Path::new(".");
        assert!(leads_somewhere(root, "src/notes.md", "main.rs#L1"));
        assert!(leads_somewhere(root, "src/notes.md", "../Cargo.toml"));
        assert!(!leads_somewhere(root, "src/notes.md", "gone.rs"));
    }

    #[test]
    fn a_rust_file_says_what_it_is() {
        assert!(unexplained(&Source::of("a.rs", "//! A thing.\n")).is_none());
        assert!(unexplained(&Source::of("a.rs", "use b;\n")).is_some());
    }
}
