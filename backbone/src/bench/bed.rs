//! A market of its own for one suite: fresh, and gone afterwards.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use config::Checkout;
use ids::Region;
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::process::Command;

use crate::{
    engine::postgres::databases::{MARKET, run},
    home::{Home, Secrets},
    output::problem,
    plan::{Place, Plan, Ports},
    process::tail,
    sources::Sources,
    state::State,
    up,
};

/// Long enough for the kernel to write back what the start left.
const QUIET: Duration = Duration::from_secs(3);

/// A market in `<home>/bench`.
#[derive(Debug, Clone)]
pub(super) struct Bed {
    pub(super) home: Home,
    pub(super) ports: Ports,
    start: up::Options,
    /// The program that starts it: this one, or another build's.
    program: PathBuf,
    /// Between its regions, there and back.
    link_latency: &'static str,
}

impl Bed {
    pub(super) fn new(start: &up::Options, engines_only: bool) -> Result<Self> {
        let start = up::Options { home: start.home.join("bench"), engines_only, ..start.clone() };
        let program = std::env::current_exe().context("find this program")?;
        // Figures are of the parts and not of the distance.
        Ok(Self { home: Home::at(&start.home)?, ports: start.ports, start, program, link_latency: "0ms" })
    }

    /// The same market of another build, whose programs are in `folder`.
    pub(super) fn built_in(&self, folder: &Path) -> Result<Self> {
        let program = folder.join("backbone");
        ensure!(program.is_file(), "{} is missing: name the folder with a build's programs, e.g. target/release", program.display());
        Ok(Self { program: std::path::absolute(program)?, ..self.clone() })
    }

    /// The same market with orders that come to their end by `checkout`.
    pub(super) fn checked_out_by(&self, checkout: Checkout) -> Self {
        Self { start: up::Options { checkout, ..self.start.clone() }, ..self.clone() }
    }

    /// The same market with regions that are as far apart as usual.
    pub(super) fn far_apart(&self) -> Self {
        Self { link_latency: "40ms", ..self.clone() }
    }

    /// The process that keeps the parts running.
    pub(super) fn supervisor(&self) -> Result<u32> {
        State::read(&self.home).and_then(|state| state.living_supervisor()).context("the supervisor is gone")
    }

    /// Where shoppers go.
    pub(super) fn shop(&self) -> String {
        self.ports.url(Place::Global, "edge")
    }

    /// Runs the program on this market, which must work.
    pub(super) async fn backbone(&self, arguments: &[&str]) -> Result<()> {
        let mut run = Command::new(&self.program);
        run.args(arguments).env("BACKBONE_HOME", self.home.path()).stdin(Stdio::null()).stdout(std::io::stderr());
        let status = run.status().await.with_context(|| format!("run {}", arguments.join(" ")))?;
        ensure!(status.success(), "{} failed", arguments.join(" "));
        Ok(())
    }

    /// Holds the market to its promises.
    pub(super) async fn verify(&self) -> Result<()> {
        let status = self.command("verify").status().await.context("verify the market")?;
        ensure!(status.success(), "a promise was broken, or could not be checked");
        Ok(())
    }

    /// Whether another bench runs in the same home, whose market must be left alone.
    pub(super) fn is_taken(&self) -> Result<bool> {
        self.home.is_locked()
    }

    /// Starts it, from nothing. Its progress goes to standard error.
    pub(super) async fn up(&self) -> Result<()> {
        if self.home.path().exists() {
            self.down().await?;
        }
        problem(format_args!("starting a market in {}", self.home.path().display()));
        let mut up = self.command("up");
        up.arg("--detach").arg("--cache").arg(&self.start.cache);
        up.args(["--brokers", &self.start.brokers.to_string(), "--port-shift", &self.ports.shift.to_string()]);
        if let Some(edge) = self.ports.edge {
            up.args(["--edge-port", &edge.to_string()]);
        }
        // An older build does not know this setting and has no distance.
        up.env("BACKBONE_LINK_LATENCY", self.link_latency);
        // An older build knows no other way.
        if self.start.checkout != Checkout::Saga {
            up.args(["--checkout", self.start.checkout.as_str()]);
        }
        if self.start.engines_only {
            up.arg("--engines-only");
        }
        let status = up.status().await.context("start the market")?;
        if !status.success() {
            bail!("the market did not start: {}", tail(&self.home.own_log(), 15).join("\n"));
        }
        tokio::time::sleep(QUIET).await;
        Ok(())
    }

    /// Stops it and removes its data.
    pub(super) async fn down(&self) -> Result<()> {
        let status = self.command("down").arg("--purge").status().await.context("stop the market")?;
        ensure!(status.success(), "the market in {} did not stop", self.home.path().display());
        Ok(())
    }

    /// A run of the program in the bench's home.
    fn command(&self, command: &str) -> Command {
        let mut run = Command::new(&self.program);
        run.arg(command).arg("--home").arg(self.home.path()).stdin(Stdio::null()).stdout(std::io::stderr());
        run
    }

    /// A region's database as its superuser.
    pub(super) async fn connect(&self, region: Region) -> Result<PgConnection> {
        Sources::of(&self.home)?.connect(region).await
    }

    /// The market's passwords.
    pub(super) fn secrets(&self) -> Result<Secrets> {
        Ok(self.home.settings(self.start.brokers)?.secrets)
    }

    /// A second database on a region's server, with a schema like that of `service` whose rows may be written.
    pub(super) async fn copy_schema(&self, region: Region, service: &str, database: &str) -> Result<()> {
        let mut market = self.connect(region).await?;
        run(&mut market, format!("CREATE DATABASE {database}")).await?;
        run(&mut market, format!("GRANT CONNECT, CREATE ON DATABASE {database} TO \"{service}\"")).await?;
        let mut copy = Sources::of(&self.home)?.connect_to(region, database).await?;
        run(&mut copy, "CREATE SCHEMA region AUTHORIZATION region".to_owned()).await?;
        run(&mut copy, store::region::setup(region)).await?;
        run(&mut copy, "UPDATE region.homes SET holder = region.self(), valid_until = 'infinity'".to_owned()).await?;
        let plan = Plan::new(self.ports, self.start.brokers, false);
        let part = plan.parts().find(|part| part.id() == format!("{region}/{service}")).context("the service is in the plan")?;
        let mut environment = plan.environment(part, &self.secrets()?, "");
        let url = environment.get_mut("DATABASE_URL").context("the service has a database")?;
        *url = url.replace(&format!("/{MARKET}"), &format!("/{database}"));
        let copy = url.parse::<PgConnectOptions>().context("the address is one of ours")?;
        run(&mut copy.connect().await?, format!("CREATE SCHEMA \"{service}\"")).await?;
        let output = Command::new(self.program.with_file_name(service))
            .arg("migrate")
            .envs(environment)
            .output()
            .await
            .context("migrate the copy")?;
        ensure!(output.status.success(), "migrate the copy: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Where downloads are kept.
    pub(super) fn cache(&self) -> &Path {
        &self.start.cache
    }

    /// A service's address.
    pub(super) fn url(&self, region: Region, service: &str) -> String {
        self.ports.url(Place::In(region), service)
    }

    /// The processes that run now: `eu/order` and its pid.
    pub(super) fn processes(&self) -> Vec<(String, u32)> {
        let parts = State::read(&self.home).map(|state| state.parts).unwrap_or_default();
        parts.iter().filter_map(|part| Some((part.id(), part.living()?))).collect()
    }
}
