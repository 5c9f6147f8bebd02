//! Three ways to check out behind one API: the saga, two-phase commit, and events alone. What an order costs, how long it takes, and who waits
//! when the order service dies in the middle.

mod death;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use config::Checkout;
use ids::Region;
use sqlx::PgConnection;
use tokio::time::sleep;

use super::{
    bed::Bed,
    measure::percentile,
    orders::{self, Until},
    report::{Report, Series},
    sagas,
};
use crate::output::problem;

const REGION: Region = Region::Eu;
/// Orders that are alone in the market, for their latency.
const ALONE: usize = 50;
/// An order that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// What one round of one way found.
struct Figures {
    rate: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
    /// Another buyer's longest wait while all is well, and after the death.
    waits: (f64, f64),
}

/// A figure's name, its unit, and where it is.
type Column = (&'static str, &'static str, fn(&Figures) -> f64);

/// Measures. Each round of each way has a market of its own, so that every one starts with nothing.
pub(super) async fn run(bed: &Bed, rounds: usize) -> Result<Report> {
    let mut found: Vec<(Checkout, Vec<Figures>)> = Checkout::ALL.map(|way| (way, Vec::new())).into();
    for number in 1..=rounds {
        for (way, figures) in &mut found {
            let bed = bed.checked_out_by(*way);
            let round = async {
                bed.up().await?;
                round(&bed, *way).await
            };
            let outcome = round.await;
            bed.down().await?;
            let Figures { rate, p50, p99, cpu, waits } = outcome.with_context(|| format!("round {number} of {way}"))?;
            problem(format_args!(
                "round {number}, {way}: {rate:.1} orders/s, p50 {p50:.0} ms, p99 {p99:.0} ms, {cpu:.1} CPU ms an order, waited {:.0} and {:.0} ms",
                waits.0, waits.1
            ));
            figures.push(Figures { rate, p50, p99, cpu, waits });
        }
    }
    let mut report =
        Report::new("checkout", "A saga, two-phase commit, or events alone: what does each cost, and who waits when it fails?");
    let columns: [Column; 6] = [
        ("orders to the final state", "orders/s", |figures| figures.rate),
        ("p50 from accepted to shipped", "ms", |figures| figures.p50),
        ("p99 from accepted to shipped", "ms", |figures| figures.p99),
        ("cost, all parts", "CPU ms/order", |figures| figures.cpu),
        ("longest wait for stock, all well", "ms", |figures| figures.waits.0),
        ("longest wait for stock after the death", "ms", |figures| figures.waits.1),
    ];
    for (name, unit, of) in columns {
        let series = found.iter().map(|(way, figures)| Series::new(format!("{name}: {way}"), unit, figures.iter().map(of).collect()));
        report.series.extend(series);
    }
    report.conditions = vec![
        format!("orders/s and cost: as in `sagas`. Latency: {ALONE} orders, each alone, by the database's clock from `placed_at` to the event `order.shipped`"),
        "wait: 8 callers buy one item; the order service is killed while an order is between its steps (two-phase: between the phases), and \
         started anew at once by the supervisor; another buyer reserves that item all the time, and the figures are that buyer's longest waits"
            .to_owned(),
        "every round ends with `backbone verify`: no promise was broken, or the round has failed".to_owned(),
    ];
    Ok(report)
}

async fn round(bed: &Bed, way: Checkout) -> Result<Figures> {
    let mut database = bed.connect(REGION).await?;
    // What a JVM and caches learn in the first seconds is no part of the figures.
    sagas::round(bed, &mut database).await?;
    let (rate, cost) = sagas::round(bed, &mut database).await?;
    let mut latencies = latencies(bed, &mut database).await?;
    latencies.sort_unstable_by(f64::total_cmp);
    let at = |share| percentile(&latencies, share).unwrap_or(f64::NAN);
    let (p50, p99) = (at(0.5), at(0.99));
    let (before, after) = death::longest_waits(bed, REGION, way).await?;
    let waits = (before.as_secs_f64() * 1e3, after.as_secs_f64() * 1e3);
    bed.verify().await?;
    Ok(Figures { rate, p50, p99, cpu: cost.iter().map(|(_, ms)| ms).sum(), waits })
}

/// Milliseconds from accepted to shipped, of orders that come one after the other.
async fn latencies(bed: &Bed, database: &mut PgConnection) -> Result<Vec<f64>> {
    let mut latencies = Vec::new();
    for _ in 0..ALONE {
        orders::place(bed, REGION, 1, Until::Placed(1)).await?;
        latencies.push(settled(database).await?);
    }
    Ok(latencies)
}

/// How long the newest order took, when it has ended.
async fn settled(database: &mut PgConnection) -> Result<f64> {
    let sql = "SELECT extract(epoch FROM shipped.created_at - o.placed_at)::float8 * 1000
               FROM (SELECT order_id, placed_at FROM \"order\".orders WHERE home_region = $1 ORDER BY placed_at DESC LIMIT 1) o
               JOIN \"order\".outbox shipped ON shipped.key = o.order_id::text AND shipped.type = 'order.shipped'";
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let took: Option<f64> = sqlx::query_scalar(sql).bind(REGION.as_str()).fetch_optional(&mut *database).await?;
        if let Some(took) = took {
            return Ok(took);
        }
        ensure!(tokio::time::Instant::now() < deadline, "an order was not shipped within {} s", LIMIT.as_secs());
        sleep(PAUSE).await;
    }
}
