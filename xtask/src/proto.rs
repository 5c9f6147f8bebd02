//! `xtask proto`: the contract keeps to buf's rules, and no change of it breaks a caller built before.
//!
//! "Before" is where this branch left `main`; on `main` itself it is the commit below, so that each commit is held to the one it follows.
//! When git knows no such commit (a shallow clone, the first commit) the comparison is left out, and the report says so.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    report::{Report, Violation},
    tree::{Tree, git},
};

const FOLDER: &str = "proto";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The buf program.
    #[arg(long, default_value = "buf")]
    buf: PathBuf,
    /// Compare with this commit instead.
    #[arg(long)]
    base: Option<String>,
}

/// What git says of where we are.
#[derive(Debug, Default, Clone, Copy)]
struct Position<'a> {
    head: &'a str,
    /// Tip of `main`, if there is one.
    main: Option<&'a str>,
    /// Where this branch left `main`.
    fork: Option<&'a str>,
    /// The commit below `head`.
    parent: Option<&'a str>,
    /// The contract has changes that are not committed.
    edited: bool,
}

/// The commit to compare with, or why there is none.
fn base(position: Position<'_>) -> Result<&str, &'static str> {
    let Position { head, main, fork, parent, edited } = position;
    match main {
        None => Err("there is no branch `main` here"),
        Some(main) if main != head => fork.ok_or("this branch and `main` share no commit"),
        Some(_) if edited => Ok(head),
        Some(_) => parent.ok_or("there is no earlier commit here"),
    }
}

pub(crate) fn check(tree: &Tree, options: &Options) -> Result<Report> {
    let root = tree.root();
    let files = tree.files().iter().filter(|path| path.starts_with("proto/") && path.ends_with(".proto")).count();
    let mut report = Report { name: "proto", looked_at: format!("{files} files linted"), ..Report::default() };
    report.violations = complaints(&buf(root, options, &["lint", FOLDER])?)?;

    let known = |arguments: &[&str]| git(root, arguments).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let commit = |name: &str| known(&["rev-parse", "--quiet", "--verify", &format!("{name}^{{commit}}")]);
    let head = commit("HEAD").unwrap_or_default();
    let main = commit("origin/main").or_else(|| commit("main"));
    let fork = main.as_ref().and_then(|main| known(&["merge-base", &head, main]));
    let parent = commit("HEAD^");
    let edited = known(&["status", "--porcelain", "--", FOLDER]).is_some();
    let position = Position { head: &head, main: main.as_deref(), fork: fork.as_deref(), parent: parent.as_deref(), edited };
    let base = match &options.base {
        Some(name) => commit(name).with_context(|| format!("{name} is no commit"))?,
        None => match base(position) {
            Ok(base) => base.to_owned(),
            Err(why) => {
                report.notes.push(format!("NOT COMPARED with an earlier contract: {why}"));
                return Ok(report);
            }
        },
    };
    if known(&["ls-tree", "--name-only", &base, "proto/buf.yaml"]).is_none() {
        report.notes.push(format!("NOT COMPARED with an earlier contract: {base} has none"));
        return Ok(report);
    }
    let before = Before::check_out(root, &base)?;
    let against = before.0.join(FOLDER);
    let against = against.to_str().context("the temporary folder's name is UTF-8")?;
    report.violations.extend(complaints(&buf(root, options, &["breaking", FOLDER, "--against", against])?)?);
    report.looked_at = format!("{}, compared with {}", report.looked_at, &base[..12.min(base.len())]);
    Ok(report)
}

fn buf(root: &Path, options: &Options, arguments: &[&str]) -> Result<Output> {
    let program = &options.buf;
    let output = Command::new(program).args(arguments).args(["--error-format", "json"]).current_dir(root).output();
    output.with_context(|| format!("run {} (`make verify` installs it)", program.display()))
}

/// buf prints one JSON object a line and exits with 100 when it has complaints.
fn complaints(output: &Output) -> Result<Vec<Violation>> {
    match output.status.code() {
        Some(0) => Ok(Vec::new()),
        Some(100) => Ok(String::from_utf8_lossy(&output.stdout).lines().map(violation).collect()),
        _ => bail!("buf failed: {}", String::from_utf8_lossy(&output.stderr).trim()),
    }
}

fn violation(line: &str) -> Violation {
    let text = |name: &str| {
        line.split_once(&format!("\"{name}\":\"")).and_then(|(_, rest)| rest.split("\",\"").next()).map(|text| text.trim_end_matches("\"}"))
    };
    let number = |name: &str| line.split_once(&format!("\"{name}\":")).and_then(|(_, rest)| rest.split([',', '}']).next()?.parse().ok());
    let rule = text("type").unwrap_or("buf");
    Violation {
        file: text("path").unwrap_or(FOLDER).to_owned(),
        line: number("start_line").unwrap_or(1),
        what: text("message").unwrap_or(line).replace("\\\"", "\""),
        todo: format!("rule {rule}; what it asks for: https://buf.build/docs/lint/rules and https://buf.build/docs/breaking/rules"),
    }
}

/// The contract as it was, in a temporary folder that goes away with this value.
struct Before(PathBuf);

impl Before {
    fn check_out(root: &Path, commit: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("xtask-proto-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let this = Self(folder);
        let archive = this.0.join("before.tar");
        let archive = archive.to_str().context("the temporary folder's name is UTF-8")?;
        git(root, &["archive", "--output", archive, commit, FOLDER])?;
        if !Command::new("tar").args(["-xf", archive]).current_dir(&this.0).status().context("run tar")?.success() {
            bail!("cannot unpack {FOLDER} of {commit}");
        }
        Ok(this)
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        // A leftover in the temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_compared_with_the_one_it_follows() {
        let on_main = Position { head: "b", main: Some("b"), fork: Some("b"), parent: Some("a"), edited: false };
        assert_eq!(base(on_main), Ok("a"));
        assert_eq!(base(Position { edited: true, ..on_main }), Ok("b"), "what is not committed follows the last commit");
        assert_eq!(base(Position { head: "d", fork: Some("a"), ..on_main }), Ok("a"), "a branch follows main where it left it");
    }

    #[test]
    fn without_a_base_it_says_why() {
        assert!(base(Position { head: "a", ..Position::default() }).is_err());
        assert!(base(Position { head: "a", main: Some("a"), ..Position::default() }).is_err());
        assert!(base(Position { head: "a", main: Some("b"), ..Position::default() }).is_err());
    }

    #[test]
    fn a_complaint_of_buf_is_read() {
        let line = r#"{"path":"proto/a/v1/a.proto","start_line":3,"start_column":1,"type":"FIELD_NO_DELETE","message":"Field \"1\" was deleted."}"#;
        let found = violation(line);
        assert_eq!((found.file.as_str(), found.line, found.what.as_str()), ("proto/a/v1/a.proto", 3, "Field \"1\" was deleted."));
        assert!(found.todo.starts_with("rule FIELD_NO_DELETE"));
    }
}
