//! `xtask layers`: crates depend only downwards.
//!
//! ```text
//! L0 pure       ids money crdt promises resilience                no tokio, sqlx, tonic, clock, randomness
//! L1 contract   proto
//! L2 mechanism  config telemetry rpc store cdc spine temporal lease link  each may use those to its left
//! L3 services   services/* engines/*                              never one another
//! L4 tools      backbone testkit sim e2e xtask                    each may use those to its left
//! ```
//!
//! The rule holds for normal, build and dev-dependencies alike, with two exceptions: tests of any crate may use `testkit`, and
//! [`TESTS_MAY_USE`]. Nothing but tools may use `testkit` outside its tests.

use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::{
    report::{Report, Violation},
    tree::Tree,
};

/// What crates of one layer may use of their own layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peers {
    /// Those to their left.
    Left,
    /// None.
    None,
}

struct Layer {
    name: &'static str,
    /// Folders; `x/*` is every folder right below `x`.
    members: &'static [&'static str],
    peers: Peers,
}

/// The lowest first. `lease` and `sim` have their place before they exist.
const LAYERS: [Layer; 5] = [
    Layer {
        name: "L0 pure",
        members: &["crates/ids", "crates/money", "crates/crdt", "crates/promises", "crates/resilience"],
        peers: Peers::Left,
    },
    Layer { name: "L1 contract", members: &["crates/proto"], peers: Peers::None },
    Layer {
        name: "L2 mechanism",
        members: &[
            "crates/config",
            "crates/telemetry",
            "crates/rpc",
            "crates/store",
            "crates/cdc",
            "crates/spine",
            "crates/temporal",
            "crates/lease",
            "crates/link",
        ],
        peers: Peers::Left,
    },
    Layer { name: "L3 services", members: &["services/*", "engines/*"], peers: Peers::None },
    Layer { name: "L4 tools", members: &["backbone", "testkit", "sim", "e2e", "xtask"], peers: Peers::Left },
];

/// A crate of L0 can be run in any simulation: it neither waits, asks a clock nor rolls dice. `uuid` is there for parsing.
const NOT_IN_L0: [&str; 10] = ["tokio", "sqlx", "tonic", "rdkafka", "async-nats", "rand", "fastrand", "getrandom", "time", "chrono"];

const TESTKIT: &str = "testkit";

/// Who may use whom in tests only, against the layers, and why.
const TESTS_MAY_USE: [(&str, &str); 1] = [
    // The PSP simulator is the other side of every payment; it stands outside both regions.
    ("payment", "psp"),
];

/// When a dependency counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Normal,
    Build,
    Tests,
}

#[derive(Debug, Clone)]
struct Dependency {
    name: String,
    when: Use,
    /// A crate of this workspace, and not one of that name from elsewhere.
    is_ours: bool,
}

/// A crate of the workspace.
#[derive(Debug, Clone)]
struct Member {
    name: String,
    /// Relative to the repository.
    folder: String,
    dependencies: Vec<Dependency>,
}

/// One edge, or one member, that breaks the rule.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    folder: String,
    dependency: Option<String>,
    what: String,
    todo: &'static str,
}

pub(crate) fn check(tree: &Tree) -> Result<Report> {
    let metadata = MetadataCommand::new().manifest_path(tree.root().join("Cargo.toml")).no_deps().exec().context("run cargo metadata")?;
    let mut members = Vec::new();
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.parent().context("a manifest lies in a folder")?;
        let folder = folder.strip_prefix(&metadata.workspace_root).context("members lie in the workspace")?.to_string();
        let dependencies = package.dependencies.iter().map(|dependency| Dependency {
            name: dependency.name.clone(),
            when: match dependency.kind {
                DependencyKind::Development => Use::Tests,
                DependencyKind::Build => Use::Build,
                _ => Use::Normal,
            },
            is_ours: dependency.path.is_some(),
        });
        members.push(Member { name: package.name.to_string(), folder, dependencies: dependencies.collect() });
    }
    let edges: usize = members.iter().map(|member| member.dependencies.len()).sum();
    let mut violations = Vec::new();
    for breach in breaches(&members) {
        let file = format!("{}/Cargo.toml", breach.folder);
        let line = breach.dependency.as_deref().map_or(1, |name| line_of(&tree.read(&file).unwrap_or_default(), name));
        violations.push(Violation { file, line, what: breach.what, todo: breach.todo.to_owned() });
    }
    let looked_at = format!("{} crates, {edges} dependencies", members.len());
    Ok(Report { name: "layers", looked_at, violations, ..Report::default() })
}

/// The line of a manifest that names `dependency`.
fn line_of(manifest: &str, dependency: &str) -> usize {
    let names = |line: &str| line.strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
    manifest.lines().position(names).map_or(1, |index| index + 1)
}

/// Layer and place in it.
fn position(folder: &str) -> Option<(usize, usize)> {
    let matches = |pattern: &str| match pattern.strip_suffix("/*") {
        Some(above) => folder.strip_prefix(above).and_then(|rest| rest.strip_prefix('/')).is_some_and(|name| !name.contains('/')),
        None => pattern == folder,
    };
    LAYERS.iter().enumerate().find_map(|(layer, row)| Some((layer, row.members.iter().position(|pattern| matches(pattern))?)))
}

/// Every breach of the layers in this graph.
fn breaches(members: &[Member]) -> Vec<Breach> {
    let mut found = Vec::new();
    for member in members {
        let Some(place) = position(&member.folder) else {
            found.push(Breach {
                folder: member.folder.clone(),
                dependency: None,
                what: format!("{} is in no layer", member.name),
                todo: "give it a place in LAYERS of xtask/src/layers.rs",
            });
            continue;
        };
        for dependency in &member.dependencies {
            let other = members.iter().find(|other| dependency.is_ours && other.name == dependency.name);
            let refused = match other {
                Some(other) => position(&other.folder).and_then(|target| refuse(member, place, other, target, dependency.when)),
                None => refuse_foreign(place.0, dependency),
            };
            found.extend(refused.map(|(what, todo)| Breach {
                folder: member.folder.clone(),
                dependency: Some(dependency.name.clone()),
                what,
                todo,
            }));
        }
    }
    found
}

fn refuse(from: &Member, place: (usize, usize), to: &Member, target: (usize, usize), when: Use) -> Option<(String, &'static str)> {
    let edge = format!("{} ({}) uses {} ({})", from.name, LAYERS[place.0].name, to.name, LAYERS[target.0].name);
    let tools = LAYERS.len() - 1;
    if to.name == TESTKIT && place.0 < tools {
        let todo = "move it to [dev-dependencies]: testkit is for tests";
        return (when != Use::Tests).then(|| (format!("{edge} outside its tests"), todo));
    }
    if when == Use::Tests && TESTS_MAY_USE.contains(&(from.name.as_str(), to.name.as_str())) {
        return None;
    }
    if target.0 > place.0 {
        return Some((format!("{edge}, which is above it"), "move what is shared down a layer"));
    }
    let allowed = target.0 < place.0 || (LAYERS[place.0].peers == Peers::Left && target.1 < place.1);
    (!allowed).then(|| match LAYERS[place.0].peers {
        Peers::None => (
            format!("{edge}: crates of this layer never use one another"),
            "call it over its protocol, or move what is shared down a layer",
        ),
        Peers::Left => (format!("{edge}, which stands to its right"), "turn the edge round, or move what is shared down a layer"),
    })
}

fn refuse_foreign(layer: usize, dependency: &Dependency) -> Option<(String, &'static str)> {
    let pure = layer == 0 && dependency.when == Use::Normal;
    (pure && NOT_IN_L0.contains(&dependency.name.as_str())).then(|| {
        (
            format!("a pure crate uses {}", dependency.name),
            "take time, randomness and input as arguments; waiting belongs to a higher layer",
        )
    })
}

#[cfg(test)]
mod tests;
