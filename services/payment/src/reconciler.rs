//! Holds the ledger against the provider's list, day by day, by the provider's clock in UTC. Each region does so for its own account there.
//!
//! ```text
//! ledger of the day ──> the provider's list of the day ──> the ledger again, by what is listed ──> compare
//!      what differs ──> look the charges up and learn ──────────────────────────^  (once)
//!      the day is over and nothing differs ──> settle: psp_receivable to bank
//! ```
//! The ledger is read first: what it has then, the provider had before, and must list.

use std::time::Duration;

use ids::Region;
use money::Money;
use rpc::process::Fatal;
use time::{Date, OffsetDateTime, UtcDateTime};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    cashier::Cashier,
    error::Error,
    ledger::{Cause, Posting},
    metrics,
    reconcile::{Difference, Movement, compare, totals},
    store::{
        ledger,
        reconciliation::{self, Findings, Run, Total},
    },
};

/// How long after its end a day can be settled: by then everything that was under way is done, and clocks that differ agree on the date.
const GRACE: time::Duration = time::Duration::minutes(5);
/// How many past days are looked at: a provider may be away over a long weekend.
const DAYS_BACK: time::Duration = time::Duration::days(7);

/// Compares and settles. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Reconciler {
    pub(crate) cashier: Cashier,
    /// Whose account at the provider it is.
    pub(crate) home: Region,
}

impl Reconciler {
    /// Every `period` compares today and every past day that is not settled, until `shutdown`.
    pub(crate) async fn run(self, period: Duration, shutdown: CancellationToken) -> Result<(), Fatal> {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once, and everything else starts at this moment too.
        ticks.tick().await;
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Some(Err(error)) = shutdown.run_until_cancelled(Box::pin(self.catch_up())).await {
                tracing::warn!(error = %error, "reconciliation failed; the next try is in {period:?}");
            }
        }
        Ok(())
    }

    async fn catch_up(&self) -> Result<(), Error> {
        let today = OffsetDateTime::now_utc().date();
        let yesterday = today.previous_day().unwrap_or(today);
        for day in reconciliation::unsettled(&self.cashier.pool, today - DAYS_BACK, yesterday).await? {
            self.day(day).await?;
        }
        self.day(today).await.map(drop)
    }

    /// Compares `day`, lets payments catch up, settles what can be settled, and keeps the run.
    pub(crate) async fn day(&self, day: Date) -> Result<Run, Error> {
        let (from, to) = (midnight(day), midnight(day.next_day().unwrap_or(day)));
        let pool = &self.cashier.pool;
        let booked = ledger::movements(pool, from, to).await?;
        let listed = self.cashier.psp.movements(self.home, from, to).await?;
        let mut in_ledger = join(&booked, ledger::same_movements(pool, &listed).await?);
        let mut differences = compare(&listed, &in_ledger);
        if !differences.is_empty() {
            self.catch_up_with(&differences).await;
            in_ledger = join(&booked, ledger::same_movements(pool, &listed).await?);
            let left = compare(&listed, &in_ledger);
            for difference in &mut differences {
                difference.is_resolved = !left.iter().any(|other| is_same(other, difference));
            }
        }
        let totals = totals_of(&listed, &in_ledger)?;
        let is_over = OffsetDateTime::now_utc().unix_timestamp() > to / 1000 + GRACE.whole_seconds();
        let is_settled = is_over && differences.iter().all(|difference| difference.is_resolved);
        let settlements = if is_settled { settlements(day, to, &totals) } else { Vec::new() };
        metrics::count_reconciliation(&differences);
        if let Some(first) = differences.iter().find(|difference| !difference.is_resolved) {
            tracing::error!(%day, ?first, count = differences.len(), "the ledger differs from the provider's list");
        }
        let movements = i32::try_from(listed.len()).unwrap_or(i32::MAX);
        reconciliation::keep(pool, Findings { day, movements, differences, totals, is_settled }, &settlements).await
    }

    /// Brings payments to where the provider's charges are. What cannot be brought there stays a difference.
    async fn catch_up_with(&self, differences: &[Difference]) {
        for difference in differences {
            let (Some(order_id), Some(charge_id)) = (difference.order_id, &difference.charge_id) else { continue };
            let learned = async {
                let charge = self.cashier.psp.look(order_id, charge_id).await?;
                self.cashier.learn(order_id, &charge).await
            };
            if let Err(error) = learned.await {
                tracing::warn!(%error, order.id = %order_id, source.id = difference.source_id, "a difference cannot be made good");
            }
        }
    }
}

/// The beginning of a day, unix ms.
fn midnight(day: Date) -> i64 {
    UtcDateTime::new(day, time::Time::MIDNIGHT).unix_timestamp() * 1000
}

/// Both, each movement once.
fn join(booked: &[Movement], same: Vec<Movement>) -> Vec<Movement> {
    let mut all = same;
    let known: std::collections::HashSet<(Cause, String)> =
        all.iter().map(|movement| (movement.cause, movement.source_id.clone())).collect();
    all.extend(booked.iter().filter(|movement| !known.contains(&(movement.cause, movement.source_id.clone()))).cloned());
    all
}

fn is_same(one: &Difference, other: &Difference) -> bool {
    (one.cause, &one.source_id) == (other.cause, &other.source_id)
}

fn totals_of(listed: &[Movement], in_ledger: &[Movement]) -> Result<Vec<Total>, Error> {
    let (there, here) = (totals(listed)?, totals(in_ledger)?);
    let currencies: std::collections::BTreeSet<_> = there.keys().chain(here.keys()).copied().collect();
    let total = |currency| Total {
        currency,
        at_psp_minor: there.get(&currency).copied().unwrap_or_default(),
        in_ledger_minor: here.get(&currency).copied().unwrap_or_default(),
    };
    Ok(currencies.into_iter().map(total).collect())
}

/// What the provider pays out for a day, or takes in, by currency.
fn settlements(day: Date, at: i64, totals: &[Total]) -> Vec<Posting> {
    let moved = totals.iter().filter(|total| total.at_psp_minor != 0);
    let settlement = |total: &Total| Posting {
        cause: Cause::Settlement,
        source_id: format!("{day}/{}", total.currency),
        amount: Money::new(total.at_psp_minor, total.currency),
        at,
    };
    moved.map(settlement).collect()
}
