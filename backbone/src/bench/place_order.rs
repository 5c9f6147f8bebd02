//! Orders acknowledged each second by 64 callers of `order.v1/PlaceOrder`, against pgbench running the same SQL on the same server with 64
//! clients.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ids::Region;
use tokio::{process::Command, time::Instant};

use super::{
    bed::Bed,
    measure::{Cpu, Latencies},
    orders::{self, CONNECTIONS, Until},
    report::{Claim, Report, Series, Target},
};
use crate::output::problem;

const CALLERS: usize = 64;
const LENGTH: Duration = Duration::from_secs(5);
/// What the brokers' JVMs and the caches learn in that time is no part of the figures.
const WARMING: Duration = Duration::from_secs(20);
const REGION: Region = Region::Eu;
/// What pgbench runs: the statements of one `PlaceOrder`, in their order.
const SCRIPT: &str = include_str!("place_order/place_order.sql");

/// Measures.
pub(super) async fn run(bed: &Bed, rounds: usize) -> Result<Report> {
    let mut report = Report::new("place-order", "How many orders a second are acknowledged, and how many could the database alone take?");
    let rival = Rival::prepare(bed).await?;
    let (mut ours, mut theirs, mut p50, mut p99) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    place(bed, WARMING).await?;
    rival.run().await?;
    for round in 1..=rounds {
        let before = Cpu::of(&bed.processes());
        let (rate, mut latencies) = place(bed, LENGTH).await?;
        let used = Cpu::of(&bed.processes()).since(&before);
        let used: Vec<_> = used.iter().take(8).map(|(name, seconds)| format!("{name} {seconds:.1}")).collect();
        theirs.push(rival.run().await?);
        problem(format_args!("round {round}: {rate:.0}/s, pgbench {:.0}/s; CPU seconds: {}", theirs[round - 1], used.join(", ")));
        ours.push(rate);
        p50.push(latencies.ms(0.5));
        p99.push(latencies.ms(0.99));
    }
    let ours = Series::new("PlaceOrder acknowledged", "orders/s", ours);
    let theirs = Series::new("pgbench, the same SQL", "transactions/s", theirs);
    report.claims.push(Claim::new("PlaceOrder / pgbench", ours.ratio_to(&theirs), Target::AtLeast(0.5)));
    report.series = vec![ours, theirs, Series::new("PlaceOrder, p50", "ms", p50), Series::new("PlaceOrder, p99", "ms", p99)];
    report.conditions = vec![format!(
        "{CALLERS} callers on {CONNECTIONS} connections, one line an order, {} s a round after {} s of warming; fsync on for both",
        LENGTH.as_secs(),
        WARMING.as_secs()
    )];
    Ok(report)
}

/// One round of ours: orders acknowledged a second, and how long each took.
async fn place(bed: &Bed, length: Duration) -> Result<(f64, Latencies)> {
    let begun = Instant::now();
    let latencies = orders::place(bed, REGION, CALLERS, Until::At(begun + length)).await?;
    #[expect(clippy::cast_precision_loss, reason = "a count of seconds of orders")]
    let rate = latencies.len() as f64 / begun.elapsed().as_secs_f64();
    Ok((rate, latencies))
}

/// pgbench on tables like the order service's, in a database of their own: no relay, mirror or sweeper follows what it writes.
struct Rival {
    script: std::path::PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Rival {
    async fn prepare(bed: &Bed) -> Result<Self> {
        let found = Command::new("pgbench").arg("--version").output().await;
        if !found.is_ok_and(|output| output.status.success()) {
            bail!("pgbench is missing: apt-get install postgresql-15 (it is part of PostgreSQL's server package)");
        }
        let script = bed.home.path().join("place_order.sql");
        std::fs::write(&script, SCRIPT).context("write pgbench's script")?;
        let password = bed.secrets()?.roles.remove("order").context("the order service has a role")?;
        let environment = vec![
            ("PGHOST", "127.0.0.1".to_owned()),
            ("PGPORT", bed.ports.postgres(REGION).to_string()),
            ("PGUSER", "order".to_owned()),
            ("PGPASSWORD", password),
            ("PGDATABASE", "bench".to_owned()),
        ];
        bed.copy_schema(REGION, "order", "bench").await?;
        Ok(Self { script, environment })
    }

    /// One round: transactions a second.
    async fn run(&self) -> Result<f64> {
        let mut pgbench = Command::new("pgbench");
        pgbench.envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())));
        pgbench.args(["--no-vacuum", "--protocol=prepared", "--jobs=2"]).arg(format!("--client={CALLERS}"));
        pgbench.arg(format!("--time={}", LENGTH.as_secs())).arg("--file").arg(&self.script);
        let output = pgbench.output().await.context("run pgbench")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok());
        rate.with_context(|| format!("pgbench: {text}{}", String::from_utf8_lossy(&output.stderr)))
    }
}
