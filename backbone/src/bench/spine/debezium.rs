//! The rival's program: its jars from Maven, its one source compiled here.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use super::super::bed::Bed;
use crate::{doctor, fetch::Installed, output::problem};

const SOURCE: &str = include_str!("Engine.java");
const HEAP: &str = "512m";

/// What makes messages of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Router {
    /// Debezium's Outbox Event Router, as its manual says.
    OutboxEvents,
    /// The least code that will do.
    ByHand,
}

impl Router {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OutboxEvents => "Debezium",
            Self::ByHand => "Debezium, routed by hand",
        }
    }
}

/// The command that runs it.
pub(super) async fn program(bed: &Bed, router: Router) -> Result<Command> {
    let java = doctor::java().with_context(|| format!("java is missing: {}", doctor::JAVA_LINE))?;
    problem("fetching Debezium, unless it is here");
    let jars = Installed::new(bed.cache())?.debezium().await?;
    let folder = bed.home.path().join("debezium");
    compile(&java.with_file_name("javac"), &jars, &folder).await?;
    let log = std::fs::File::options().create(true).append(true).open(bed.home.logs().join("debezium.log"));
    let mut command = Command::new(java);
    command.args([format!("-Xms{HEAP}"), format!("-Xmx{HEAP}")]);
    command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-Dorg.slf4j.simpleLogger.showDateTime=true"]);
    command.arg("-cp").arg(format!("{}:{}/*", folder.display(), jars.display())).arg("Engine");
    command.stderr(log.context("write Debezium's log")?);
    if router == Router::ByHand {
        command.env("ROUTER", "hand");
    }
    Ok(command)
}

async fn compile(javac: &Path, jars: &Path, folder: &Path) -> Result<()> {
    ensure!(javac.is_file(), "javac is missing: {}", doctor::JAVA_LINE);
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    std::fs::write(folder.join("Engine.java"), SOURCE).context("write Engine.java")?;
    let mut command = Command::new(javac);
    command.arg("-cp").arg(format!("{}/*", jars.display())).arg("-d").arg(folder).arg(folder.join("Engine.java"));
    let output = command.kill_on_drop(true).output().await.context("run javac")?;
    ensure!(output.status.success(), "javac: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
