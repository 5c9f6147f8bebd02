//! `doctor`: what this machine lacks, each with the line that installs it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use serde::Serialize;

use crate::{
    exit::Exit,
    output::{line, table},
    plan::Plan,
    preflight::{self, gib},
};

/// How Java is installed on Debian.
pub const JAVA_LINE: &str = "apt-get install -y openjdk-17-jdk-headless";

/// A program that something here runs.
struct Tool {
    name: &'static str,
    /// Prints the version, among other things.
    version: &'static [&'static str],
    /// Smallest version that will do.
    at_least: (u32, u32),
    /// Must be there; the others make more tests and examples run.
    needed: bool,
    /// What it is for.
    purpose: &'static str,
    install: &'static str,
}

const TOOLS: [Tool; 10] = [
    Tool::needed("java", &["-version"], (17, 0), "runs Kafka", JAVA_LINE),
    Tool::needed("mvn", &["-v"], (3, 6), "fetches Kafka and PostgreSQL", "apt-get install -y maven"),
    Tool::needed("go", &["version"], (1, 24), "builds Temporal and NATS", GO_LINE),
    Tool::needed("cargo", &["--version"], (1, 95), "builds the services", CARGO_LINE),
    Tool::needed("cc", &["--version"], (0, 0), "builds librdkafka", "apt-get install -y build-essential"),
    Tool::needed("make", &["--version"], (0, 0), "builds librdkafka", "apt-get install -y make"),
    Tool::optional("chromium", &["--version"], "browser test", "apt-get install -y chromium"),
    Tool::optional("chromedriver", &["--version"], "browser test", "apt-get install -y chromium-driver"),
    Tool::optional("kcat", &["-V"], "reads Kafka topics by hand", "apt-get install -y kcat"),
    Tool::optional("psql", &["--version"], "looks into PostgreSQL by hand", "apt-get install -y postgresql-client"),
];

const GO_LINE: &str = if cfg!(target_arch = "aarch64") {
    "curl -fsSL https://go.dev/dl/go1.26.8.linux-arm64.tar.gz | tar -xz -C /usr/local && ln -sf /usr/local/go/bin/go /usr/local/bin/go"
} else {
    "curl -fsSL https://go.dev/dl/go1.26.8.linux-amd64.tar.gz | tar -xz -C /usr/local && ln -sf /usr/local/go/bin/go /usr/local/bin/go"
};
const CARGO_LINE: &str = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && rustup update stable";

impl Tool {
    const fn needed(
        name: &'static str,
        version: &'static [&'static str],
        at_least: (u32, u32),
        purpose: &'static str,
        install: &'static str,
    ) -> Self {
        Self { name, version, at_least, needed: true, purpose, install }
    }

    const fn optional(name: &'static str, version: &'static [&'static str], purpose: &'static str, install: &'static str) -> Self {
        Self { name, version, at_least: (0, 0), needed: false, purpose, install }
    }
}

/// What was found of one thing.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// Tool, `memory`, `disk` or `ports`.
    pub name: String,
    /// All is well with it.
    pub ok: bool,
    /// Nothing starts without it.
    pub needed: bool,
    /// What was found.
    pub found: String,
    /// The line that installs it, or what else to do.
    pub fix: Option<String>,
}

/// Looks at everything. `plan` is absent while a market runs here: then its ports are taken, and rightly so.
///
/// # Errors
/// When the disk cannot be asked.
pub fn examine(plan: Option<&Plan>, home: &Path) -> Result<Vec<Finding>> {
    let mut findings: Vec<_> = TOOLS.iter().map(look_for).collect();
    if rustix::process::geteuid().is_root() {
        let found = find("setpriv").is_some();
        findings.push(Finding {
            name: "setpriv".to_owned(),
            ok: found,
            needed: true,
            found: (if found { "present, runs PostgreSQL as another user" } else { "missing" }).to_owned(),
            fix: (!found).then(|| "apt-get install -y util-linux".to_owned()),
        });
    }
    let memory = preflight::free_memory();
    findings.push(amount("memory", memory, preflight::MEMORY, "close something"));
    findings.push(amount("disk", Some(preflight::free_disk(home)?), preflight::DISK, "free some space or set BACKBONE_HOME"));
    if let Some(plan) = plan {
        let taken = preflight::taken_ports(plan);
        findings.push(Finding {
            name: "ports".to_owned(),
            ok: taken.is_empty(),
            needed: true,
            found: if taken.is_empty() { "all free".to_owned() } else { format!("{} taken", taken.len()) },
            fix: taken.first().map(|refusal| refusal.0.clone()),
        });
    }
    Ok(findings)
}

/// Prints what was found. The exit code says whether something needed is missing.
///
/// # Errors
/// As [`examine`].
pub fn print(plan: Option<&Plan>, home: &Path, json: bool) -> Result<Exit> {
    let findings = examine(plan, home)?;
    let healthy = findings.iter().all(|finding| finding.ok || !finding.needed);
    if json {
        line(serde_json::to_string_pretty(&findings)?);
    } else {
        let word = |finding: &Finding| match (finding.ok, finding.needed) {
            (true, _) => "ok",
            (false, true) => "PROBLEM",
            (false, false) => "optional",
        };
        let rows: Vec<_> = findings
            .iter()
            .map(|finding| {
                let fix = finding.fix.as_deref().map(|fix| format!("-> {fix}")).unwrap_or_default();
                vec![finding.name.clone(), word(finding).to_owned(), finding.found.clone(), fix]
            })
            .collect();
        line(table(&rows));
        line(if healthy { "\nall that is needed is here" } else { "\nsomething needed is missing: run the lines after the arrows" });
    }
    Ok(if healthy { Exit::Ok } else { Exit::Failed })
}

fn amount(name: &str, found: Option<u64>, needed: u64, advice: &str) -> Finding {
    let ok = found.is_none_or(|found| found >= needed);
    Finding {
        name: name.to_owned(),
        ok,
        needed: true,
        found: found.map_or_else(|| "unknown".to_owned(), |found| format!("{} free, {} needed", gib(found), gib(needed))),
        fix: (!ok).then(|| advice.to_owned()),
    }
}

fn look_for(tool: &Tool) -> Finding {
    let path = if tool.name == "java" { java() } else { find(tool.name) };
    let version = path.and_then(|path| version_of(&path, tool.version));
    let ok = version.as_ref().is_some_and(|(numbers, _)| *numbers >= tool.at_least);
    let (major, minor) = tool.at_least;
    let found = match version {
        Some((_, text)) if ok => format!("{text}, {}", tool.purpose),
        Some((_, text)) => format!("{text}, but {major}.{minor} is needed"),
        None => format!("not found, {}", tool.purpose),
    };
    Finding { name: tool.name.to_owned(), ok, needed: tool.needed, found, fix: (!ok).then(|| tool.install.to_owned()) }
}

fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The `java` to use: the one of `JAVA_HOME`, else the first on the path.
#[must_use]
pub fn java() -> Option<PathBuf> {
    let home = env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    home.filter(|java| java.is_file()).or_else(|| find("java"))
}

fn version_of(program: &Path, args: &[&str]) -> Option<((u32, u32), String)> {
    let output = Command::new(program).args(args).output().ok()?;
    parse_version(&String::from_utf8_lossy(&[output.stdout, output.stderr].concat()))
}

/// The first number with a dot in it: major, minor, and as it was written.
fn parse_version(text: &str) -> Option<((u32, u32), String)> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let words = text.split(|c: char| !is_part(c)).map(|word| word.trim_matches('.'));
    let word = words.filter(|word| word.contains('.')).find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut numbers = word.split('.').map(|number| number.parse().unwrap_or_default());
    Some(((numbers.next()?, numbers.next()?), word.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_tools_print() {
        let version = |text| parse_version(text).unwrap();
        assert_eq!(version("openjdk version \"17.0.15\" 2025-04-15"), ((17, 0), "17.0.15".to_owned()));
        assert_eq!(version("go version go1.26.8 linux/amd64").0, (1, 26));
        assert_eq!(version("cc (Debian 12.2.0-14+deb12u1) 12.2.0").0, (12, 2));
        assert_eq!(version("\u{1b}[1mApache Maven 3.8.7\u{1b}[m").0, (3, 8));
        assert!(parse_version("no number").is_none());
    }
}
