//! A region is lost under traffic, in three ways, and comes back: how long do shoppers notice, and is anything lost?
//!
//! ```text
//! traffic ─────────────────────────────────────────────────────────────>
//!          warm up │ fault: killed, cut off, or not heard │ mended      │ verify
//! ```
//! Killed is `kill -9` of every process of eu while nobody starts them again; then they are started.

mod load;

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use ids::Region;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::load::{Kind, Load, RAMP, Sample};
use super::{
    bed::Bed,
    measure::percentile,
    orders,
    report::{Claim, Report, Series, Target},
};
use crate::{output::problem, process};

/// Half of it goes by until all of the traffic comes.
const WARM: Duration = Duration::from_secs(40);
/// What is compared with the fault: the last part of it.
const BEFORE: Duration = Duration::from_secs(10);
const FAULT: Duration = Duration::from_secs(25);
/// From the mending to the end: the region starts, catches up, and has its home back some seconds later.
const MENDED: Duration = Duration::from_secs(30);
/// The share of failed requests that nobody notices, looked at in windows of this length.
const UNNOTICED: f64 = 0.001;
const WINDOW: Duration = Duration::from_millis(500);

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Killed,
    Partition,
    OneWay,
}

impl Fault {
    const ALL: [Self; 3] = [Self::Killed, Self::Partition, Self::OneWay];

    fn name(self) -> &'static str {
        match self {
            Self::Killed => "eu killed",
            Self::Partition => "cut off, both ways",
            Self::OneWay => "eu is not heard",
        }
    }

    async fn begin(self, bed: &Bed) -> Result<()> {
        match self {
            Self::Killed => {
                process::signal(bed.supervisor()?, Signal::STOP);
                let eu = |name: &str| name.starts_with("eu/");
                bed.processes().into_iter().filter(|(name, _)| eu(name)).for_each(|(_, pid)| process::signal(pid, Signal::KILL));
                Ok(())
            }
            Self::Partition => bed.backbone(&["link", "set", "eu", "us", "--partition"]).await,
            Self::OneWay => bed.backbone(&["link", "set", "eu", "us", "--partition", "--one-way"]).await,
        }
    }

    async fn end(self, bed: &Bed) -> Result<()> {
        match self {
            Self::Killed => {
                process::signal(bed.supervisor()?, Signal::CONT);
                Ok(())
            }
            Self::Partition | Self::OneWay => bed.backbone(&["link", "reset"]).await,
        }
    }
}

/// What one fault did.
#[derive(Debug, Default)]
struct Found {
    noticed: Vec<f64>,
    first_order: Vec<f64>,
    final_after: Vec<f64>,
    failed: Vec<f64>,
    failed_after_mending: Vec<f64>,
    p99_before: Vec<f64>,
}

/// Measures. The market has links of the usual length.
pub(super) async fn run(bed: &Bed, rounds: usize, rate: u32) -> Result<Report> {
    let mut report =
        Report::new("failover", "A region is lost under traffic and comes back: how long do shoppers notice, and is anything lost?");
    for fault in Fault::ALL {
        let mut found = Found::default();
        for round in 1..=rounds {
            bed.up().await?;
            one(bed, fault, rate, &mut found).await.with_context(|| format!("{}, round {round}", fault.name()))?;
            bed.down().await?;
        }
        let series = |what: &str, unit: &str, rounds: &[f64]| Series::new(format!("{}: {what}", fault.name()), unit, rounds.to_vec());
        let all = [
            series("failures above 0.1 % last for", "s", &found.noticed),
            series("first order of an eu shopper after", "s", &found.first_order),
            series("open orders of eu final after", "s", &found.final_after),
            series("failed requests of all", "%", &found.failed),
            series("failed requests after mending", "requests", &found.failed_after_mending),
            series("p99 before the fault", "ms", &found.p99_before),
        ];
        for (series, target) in all.iter().zip([5.0, 6.0, 15.0]) {
            report.claims.push(Claim::new(series.name.clone(), series.median, Target::AtMost(target)));
        }
        report.claims.push(Claim::new(all[4].name.clone(), all[4].median, Target::AtMost(0.0)));
        report.series.extend(all);
    }
    report.conditions = vec![
        format!(
            "{rate} requests a second, open loop, 80 % browse, 18 % cart, 2 % checkout, items by Zipf, half of the shoppers in each region; {} s of traffic, which grows in the first {}, then {} s of fault; \
             after each round every promise was checked against the journal of acknowledged orders",
            WARM.as_secs(),
            RAMP.as_secs(),
            FAULT.as_secs()
        ),
        "failures are counted in windows of 0.5 s by the moment that a request was due; a request may take 35 s".to_owned(),
        "the load generator, both regions and the provider share the machine's cores".to_owned(),
    ];
    Ok(report)
}

async fn one(bed: &Bed, fault: Fault, rate: u32, found: &mut Found) -> Result<()> {
    let journal = bed.home.path().join("load.ndjson");
    let skus: Vec<String> = orders::lines(bed, Region::Us).await?.into_iter().map(|line| line.sku).collect();
    let (load, stop) = (Load::new(bed.shop(), skus, &journal)?, CancellationToken::new());
    let traffic = tokio::spawn(load.clone().run(rate, stop.clone()));
    sleep(WARM).await;
    let struck = Instant::now();
    fault.begin(bed).await?;
    let final_after = all_final(bed, fault, struck).await;
    sleep(FAULT.saturating_sub(struck.elapsed())).await;
    let mended = Instant::now();
    fault.end(bed).await?;
    sleep(MENDED).await;
    stop.cancel();
    traffic.await.context("the traffic panicked")?;
    let samples = load.samples();
    let seen = look(&samples, struck, mended).with_context(|| load.failures(struck))?;
    problem(format_args!(
        "{}: failures above 0.1 % for {:.1} s, first order of an eu shopper after {:.1} s, open orders of eu final after {}, failed {:.2} % \
         during it and {} after mending {:.0} s later, {} requests, p99 before {:.0} ms\n{}",
        fault.name(),
        seen.noticed,
        seen.first_order,
        final_after.as_ref().map_or_else(ToString::to_string, |after| format!("{after:.1} s")),
        seen.failed,
        seen.failed_after_mending,
        mended.duration_since(struck).as_secs_f64(),
        samples.len(),
        seen.p99_before,
        load.failures(struck),
    ));
    verify(bed, &journal).await?;
    found.noticed.push(seen.noticed);
    found.first_order.push(seen.first_order);
    found.final_after.push(final_after?);
    found.failed.push(seen.failed);
    found.failed_after_mending.push(seen.failed_after_mending);
    found.p99_before.push(seen.p99_before);
    Ok(())
}

/// When the orders that eu had open when it was lost have come to their end, as us sees it, or eu itself while it lives.
async fn all_final(bed: &Bed, fault: Fault, struck: Instant) -> Result<f64> {
    let mut database = bed.connect(if fault == Fault::Killed { Region::Us } else { Region::Eu }).await?;
    while struck.elapsed() < FAULT {
        let open: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM \"order\".orders WHERE home_region = 'eu' AND state IN ('placed', 'confirmed')
               AND placed_at < now() - make_interval(secs => $1)",
        )
        .bind(struck.elapsed().as_secs_f64())
        .fetch_one(&mut database)
        .await?;
        if open == 0 {
            return Ok(struck.elapsed().as_secs_f64());
        }
        sleep(Duration::from_millis(100)).await;
    }
    bail!("orders of eu are open {} s after it was lost", FAULT.as_secs())
}

#[derive(Debug)]
struct Seen {
    noticed: f64,
    first_order: f64,
    failed: f64,
    failed_after_mending: f64,
    p99_before: f64,
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
fn look(samples: &[Sample], struck: Instant, mended: Instant) -> Result<Seen> {
    let within = |from: Instant, to: Instant| samples.iter().filter(move |sample| sample.due >= from && sample.due < to);
    let share = |from: Instant, to: Instant| {
        let (mut all, mut bad) = (0_u32, 0_u32);
        within(from, to).for_each(|sample| {
            all += 1;
            bad += u32::from(!sample.is_good);
        });
        if all == 0 { 0.0 } else { f64::from(bad) / f64::from(all) }
    };
    let before = share(struck - BEFORE, struck);
    ensure!(before <= UNNOTICED, "{:.2} % of the requests failed before anything had happened", before * 100.0);
    let windows = (0..).map(|number| struck + WINDOW * number).take_while(|from| *from < mended);
    let last_bad = windows.filter(|from| share(*from, *from + WINDOW) > UNNOTICED).last();
    let noticed = last_bad.map_or(0.0, |from| (from + WINDOW - struck).as_secs_f64());
    let is_eu_order = |sample: &&Sample| sample.kind == Kind::Order && sample.region == Region::Eu && sample.is_good;
    let first_order = within(struck, mended).filter(is_eu_order).map(|sample| sample.answered).min();
    let first_order = first_order.context("no shopper of eu could order during the fault")?.duration_since(struck).as_secs_f64();
    let failed_after_mending = samples.iter().filter(|sample| sample.due >= mended && !sample.is_good).count() as f64;
    let mut times: Vec<f64> =
        within(struck - BEFORE, struck).map(|sample| sample.answered.duration_since(sample.due).as_secs_f64() * 1e3).collect();
    times.sort_unstable_by(f64::total_cmp);
    let p99_before = percentile(&times, 0.99).unwrap_or(f64::NAN);
    Ok(Seen { noticed, first_order, failed: share(struck, mended) * 100.0, failed_after_mending, p99_before })
}

async fn verify(bed: &Bed, journal: &Path) -> Result<()> {
    let journal = journal.to_str().context("paths are text")?;
    bed.backbone(&["verify", "--wait", "60s", "--journal", journal]).await
}
