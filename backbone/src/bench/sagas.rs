//! Sagas brought to their end each second, and what each of them costs where.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ids::Region;
use sqlx::PgConnection;
use tokio::time::{Instant, sleep};

use super::{
    bed::Bed,
    measure::Cpu,
    orders::{self, Until},
    report::{Claim, Report, Series, Target},
};
use crate::output::problem;

const REGION: Region = Region::Eu;
const CALLERS: usize = 8;
const ORDERS_EACH: usize = 100;
/// A round that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(100);
/// Parts that cost less CPU time a saga are added up as `others`, in milliseconds.
const SMALL: f64 = 0.5;

/// Measures, beside another build when there is one. Each round of each build has a market of its own, so that every one starts with nothing.
pub(super) async fn run(bed: &Bed, against: Option<&Bed>, rounds: usize) -> Result<Report> {
    let (mut ours, mut theirs, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=rounds {
        let (rate, cost) = alone(bed).await.with_context(|| format!("round {number}"))?;
        let text: Vec<_> = cost.iter().take(6).map(|(name, ms)| format!("{name} {ms:.1}")).collect();
        problem(format_args!("round {number}: {rate:.1} sagas/s; CPU ms a saga: {}", text.join(", ")));
        ours.push(rate);
        costs.push(cost);
        if let Some(other) = against {
            let (rate, cost) = alone(other).await.with_context(|| format!("round {number} of the other build"))?;
            let ms: f64 = cost.iter().map(|(_, ms)| ms).sum();
            problem(format_args!("round {number}, the other build: {rate:.1} sagas/s, {ms:.1} CPU ms each"));
            theirs.push(rate);
        }
    }
    let mut report = Report::new("sagas", "How many orders a second are brought to their end, and where does the time go?");
    let ours = Series::new("sagas to the final state", "sagas/s", ours);
    let theirs = against.map(|_| Series::new("the other build", "sagas/s", theirs));
    if let Some(theirs) = &theirs {
        report.claims.push(Claim::new("sagas/s / the other build's", ours.ratio_to(theirs), Target::AtLeast(2.0)));
    }
    report.series = [ours].into_iter().chain(theirs).chain(series(&costs)).collect();
    report.conditions = vec![
        format!(
            "{CALLERS} callers place {} orders of one line in {REGION}; from the first call to the last `shipped`; each round in a new market, \
             after as many orders that are not counted",
            CALLERS * ORDERS_EACH
        ),
        "cost: CPU time of each part's processes in the round, divided by the orders; the rest of both regions stands by".to_owned(),
    ];
    if against.is_some() {
        report.conditions.push(
            "the other build: the one named by `--against`; for the target the first skeleton, commit c1907da, whose provider steps were all \
             remote activities"
                .to_owned(),
        );
    }
    Ok(report)
}

/// One round in a new market.
async fn alone(bed: &Bed) -> Result<(f64, Vec<(String, f64)>)> {
    let measured = async {
        bed.up().await?;
        let mut database = bed.connect(REGION).await?;
        // What a JVM and caches learn in the first seconds is no part of the figures.
        round(bed, &mut database).await?;
        round(bed, &mut database).await
    };
    let outcome = measured.await;
    bed.down().await?;
    outcome
}

/// CPU milliseconds a saga, by part: one series for each part that matters.
fn series(rounds: &[Vec<(String, f64)>]) -> Vec<Series> {
    let of = |name: &str| -> Vec<f64> {
        let in_round = |round: &Vec<(String, f64)>| round.iter().find(|(part, _)| part == name).map_or(0.0, |(_, ms)| *ms);
        rounds.iter().map(in_round).collect()
    };
    let named = |name: &String| Series::new(format!("cost: {name}"), "CPU ms/saga", of(name));
    let all: Vec<Series> = rounds.first().into_iter().flatten().map(|(name, _)| named(name)).collect();
    let (small, mut large): (Vec<_>, Vec<_>) = all.into_iter().partition(|series| series.median < SMALL);
    let others = (0..rounds.len()).map(|round| small.iter().map(|series| series.rounds[round]).sum()).collect();
    large.sort_by(|a, b| b.median.total_cmp(&a.median));
    large.push(Series::new("cost: others", "CPU ms/saga", others));
    large
}

/// One round: sagas a second, and CPU milliseconds a saga by part.
pub(super) async fn round(bed: &Bed, database: &mut PgConnection) -> Result<(f64, Vec<(String, f64)>)> {
    let shipped = count(database, "shipped").await?;
    let parts = bed.processes();
    let before = Cpu::of(&parts);
    let begun = Instant::now();
    orders::place(bed, REGION, CALLERS, Until::Placed(ORDERS_EACH)).await?;
    let wanted = shipped + i64::try_from(CALLERS * ORDERS_EACH)?;
    loop {
        let shipped = count(database, "shipped").await?;
        if shipped >= wanted {
            break;
        }
        if count(database, "cancelled").await? > 0 {
            bail!("an order was cancelled: the round counts only those that ship");
        }
        if begun.elapsed() > LIMIT {
            bail!("{} orders were not shipped within {} s", wanted - shipped, LIMIT.as_secs());
        }
        sleep(PAUSE).await;
    }
    let took = begun.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "some hundred orders")]
    let orders = (CALLERS * ORDERS_EACH) as f64;
    let cost = Cpu::of(&parts).since(&before).into_iter().map(|(name, seconds)| (name, seconds * 1e3 / orders)).collect();
    Ok((orders / took, cost))
}

async fn count(database: &mut PgConnection, state: &str) -> Result<i64> {
    let sql = "SELECT count(*) FROM \"order\".orders WHERE state = $1 AND home_region = $2";
    Ok(sqlx::query_scalar(sql).bind(state).bind(REGION.as_str()).fetch_one(database).await?)
}
