//! The whole market, through the `backbone` command.

use std::{
    fs::read_to_string,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{process::Command, sync::OnceCell, time::timeout};

use crate::{collector::Collector, shop::Shop};

/// Apart from the ports of a market that somebody runs on the side.
const PORT_SHIFT: u16 = 5_000;
/// No command takes longer, but for the first fetch, and that was done before.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) text: String,
}

/// Two regions in a home of their own.
pub(crate) struct Market {
    home: PathBuf,
    backbone: PathBuf,
    started: OnceCell<Said>,
    /// Where its traces go.
    pub(crate) traces: Collector,
    collector_port: u16,
}

/// One line of `status --json`.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) pid: i32,
    pub(crate) port: u16,
}

impl Market {
    pub(crate) fn new() -> Self {
        let home = std::env::temp_dir().join(format!("backbone-e2e-{}", std::process::id()));
        let program = std::env::current_exe().expect("this program has a path");
        let folder = program.parent().and_then(Path::parent).expect("tests lie in deps/, beside the programs");
        Self {
            home,
            backbone: folder.join("backbone"),
            started: OnceCell::new(),
            traces: Collector::default(),
            collector_port: testkit::free_port(),
        }
    }

    /// The folder where the market keeps everything.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Runs `backbone` in this market's home.
    pub(crate) async fn backbone(&self, arguments: &[&str]) -> Result<Said> {
        self.backbone_with(arguments, &self.home, PORT_SHIFT).await
    }

    /// Runs `backbone` in any home.
    pub(crate) async fn backbone_with(&self, arguments: &[&str], home: &Path, port_shift: u16) -> Result<Said> {
        let mut command = Command::new(&self.backbone);
        command.args(arguments).env("BACKBONE_HOME", home).env("BACKBONE_PORT_SHIFT", port_shift.to_string());
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", self.collector_port));
        // Long enough to see an order wait for the bank, also on a slow machine.
        command.env("PSP_STEP_UP_DELAY", "4s");
        command.env_remove("BACKBONE_EDGE_PORT");
        run(command).await.with_context(|| format!("backbone {}", arguments.join(" ")))
    }

    /// What `up --detach` said when the market was started, which it is when first asked.
    pub(crate) async fn started(&self) -> Result<&Said> {
        self.started
            .get_or_try_init(|| async {
                ensure!(self.backbone.exists(), "{} is not built: run `make e2e`", self.backbone.display());
                self.traces.listen(self.collector_port);
                self.up().await
            })
            .await
    }

    /// `up --detach`, which must work.
    pub(crate) async fn up(&self) -> Result<Said> {
        let said = self.backbone(&["up", "--detach"]).await?;
        ensure!(said.code == 0, "up ended with {}:\n{}", said.code, said.text);
        Ok(said)
    }

    /// `status --json`.
    pub(crate) async fn status(&self) -> Result<Value> {
        let said = self.backbone(&["status", "--json"]).await?;
        serde_json::from_str(&said.text).with_context(|| format!("read {}", said.text))
    }

    /// `verify`, which must find no broken promise. What it said is shown.
    pub(crate) async fn verify(&self, arguments: &[&str]) -> Result<()> {
        let said = self.backbone(&[&["verify"], arguments].concat()).await?;
        print(&said.text);
        ensure!(said.code == 0, "verify ended with {}", said.code);
        Ok(())
    }

    /// Every process that runs.
    pub(crate) async fn processes(&self) -> Result<Vec<Process>> {
        self.started().await?;
        let status = self.status().await?;
        let list = status["processes"].as_array().context("status lists processes")?;
        let read = |process: &Value| {
            Some(Process {
                name: process["name"].as_str()?.to_owned(),
                region: process["region"].as_str()?.to_owned(),
                pid: process["pid"].as_i64()?.try_into().ok()?,
                port: process["port"].as_u64()?.try_into().ok()?,
            })
        };
        Ok(list.iter().filter_map(read).collect())
    }

    /// One process.
    pub(crate) async fn process(&self, region: &str, name: &str) -> Result<Process> {
        let mut processes = self.processes().await?.into_iter();
        processes.find(|process| process.region == region && process.name == name).with_context(|| format!("{region}/{name} runs"))
    }

    /// A region's database, as its operator.
    pub(crate) async fn database(&self, region: &str) -> Result<PgConnection> {
        let settings: Value = serde_json::from_str(&read_to_string(self.home().join("settings.json"))?)?;
        let password = settings["secrets"]["superuser"].as_str().context("a password")?;
        let port = self.process(region, "postgres").await?.port;
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port).username("postgres").password(password);
        Ok(PgConnection::connect_with(&options.database("market")).await?)
    }

    /// The shop at its one address.
    pub(crate) async fn shop(&self) -> Result<Shop> {
        Ok(Shop::at(self.process("global", "edge").await?.port))
    }

    /// The shop at one region's own door.
    pub(crate) async fn door(&self, region: &str) -> Result<Shop> {
        Ok(Shop::at(self.process(region, "bff").await?.port))
    }

    /// Ends and removes everything; after a failure the logs' last lines come first.
    pub(crate) async fn end(&self, has_failed: bool) {
        if !self.home.exists() {
            return;
        }
        if has_failed && let Ok(said) = self.backbone(&["logs", "-n", "15"]).await {
            print(&said.text);
        }
        if has_failed && is_kept() {
            return print(&format!("the market is left as it is: BACKBONE_HOME={} BACKBONE_PORT_SHIFT={PORT_SHIFT}", self.home.display()));
        }
        match self.backbone(&["down", "--purge"]).await {
            Ok(Said { code: 0, .. }) => drop(std::fs::remove_dir_all(&self.home)),
            other => print(&format!("the market could not be ended: {other:?}")),
        }
    }
}

/// `E2E_KEEP=1` leaves a market in which a test failed, to be looked at.
fn is_kept() -> bool {
    std::env::var_os("E2E_KEEP").is_some_and(|value| !value.is_empty())
}

/// Runs a command to its end; both outputs are one text.
pub(crate) async fn run(mut command: Command) -> Result<Said> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let shown = format!("{:?}", command.as_std());
    let Ok(output) = timeout(PATIENCE, command.output()).await else { bail!("{shown} does not end") };
    let output = output.with_context(|| format!("run {shown}"))?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(Said { code: output.status.code().unwrap_or(-1), text })
}

#[expect(clippy::print_stderr, reason = "a test program talks to whoever runs it")]
pub(crate) fn print(text: &str) {
    eprintln!("{text}");
}
