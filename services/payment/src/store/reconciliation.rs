//! Runs of the reconciliation in PostgreSQL, with what each of them found.

use ids::OrderId;
use money::{Currency, Money};
use sqlx::{FromRow, PgConnection, PgPool};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::{
    error::Error,
    ledger::{Cause, Posting},
    reconcile::{Difference, Kind},
    store::ledger,
};

/// What moved in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) currency: Currency,
    pub(crate) at_psp_minor: i64,
    pub(crate) in_ledger_minor: i64,
}

/// One comparison of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) day: Date,
    /// How many movements the provider lists.
    pub(crate) movements: i32,
    pub(crate) differences: Vec<Difference>,
    pub(crate) totals: Vec<Total>,
    /// True when the day is over and nothing differs any more: then its settlements are entered with the run.
    pub(crate) is_settled: bool,
}

/// A comparison that was kept.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) run_id: i64,
    pub(crate) ended_at: OffsetDateTime,
    pub(crate) findings: Findings,
}

/// Keeps a run, together with what it settles.
pub(crate) async fn keep(pool: &PgPool, findings: Findings, settlements: &[Posting]) -> Result<Run, Error> {
    let mut tx = pool.begin().await?;
    for settlement in settlements {
        ledger::settle_in(&mut tx, settlement).await?;
    }
    let (run_id, ended_at): (i64, OffsetDateTime) =
        sqlx::query_as("INSERT INTO reconciliation_runs (day, movements, is_settled) VALUES ($1, $2, $3) RETURNING run_id, ended_at")
            .bind(findings.day)
            .bind(findings.movements)
            .bind(findings.is_settled)
            .fetch_one(&mut *tx)
            .await?;
    for total in &findings.totals {
        sqlx::query("INSERT INTO reconciliation_totals (run_id, currency, at_psp_minor, in_ledger_minor) VALUES ($1, $2, $3, $4)")
            .bind(run_id)
            .bind(total.currency.to_string())
            .bind(total.at_psp_minor)
            .bind(total.in_ledger_minor)
            .execute(&mut *tx)
            .await?;
    }
    for difference in &findings.differences {
        insert_in(&mut tx, run_id, difference).await?;
    }
    tx.commit().await?;
    Ok(Run { run_id, ended_at, findings })
}

async fn insert_in(tx: &mut PgConnection, run_id: i64, difference: &Difference) -> Result<(), Error> {
    let minor = |money: Option<Money>| money.map(|money| money.amount_minor);
    let currency = |money: Option<Money>| money.map(|money| money.currency.to_string());
    sqlx::query("INSERT INTO reconciliation_differences VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
        .bind(run_id)
        .bind(difference.kind.as_str())
        .bind(difference.cause.as_str())
        .bind(&difference.source_id)
        .bind(difference.order_id.map(OrderId::as_uuid))
        .bind(minor(difference.at_psp))
        .bind(currency(difference.at_psp))
        .bind(minor(difference.in_ledger))
        .bind(currency(difference.in_ledger))
        .bind(difference.is_resolved)
        .execute(tx)
        .await?;
    Ok(())
}

#[derive(FromRow)]
struct DifferenceRow {
    kind: String,
    cause: String,
    source_id: String,
    order_id: Option<Uuid>,
    at_psp_minor: Option<i64>,
    at_psp_currency: Option<String>,
    in_ledger_minor: Option<i64>,
    in_ledger_currency: Option<String>,
    is_resolved: bool,
}

impl DifferenceRow {
    fn difference(self) -> Result<Difference, Error> {
        let corrupt = |what| Error::CorruptEntry { source_id: self.source_id.clone(), what };
        let money = |minor: Option<i64>, currency: Option<&str>| {
            let (Some(minor), Some(currency)) = (minor, currency) else { return Ok(None) };
            let currency = currency.parse().map_err(|_| corrupt("currency"))?;
            Ok::<_, Error>(Some(Money::new(minor, currency)))
        };
        Ok(Difference {
            kind: Kind::ALL.into_iter().find(|kind| kind.as_str() == self.kind).ok_or_else(|| corrupt("kind"))?,
            cause: Cause::of(&self.cause).ok_or_else(|| corrupt("cause"))?,
            order_id: self.order_id.map(OrderId::from_uuid),
            charge_id: None,
            at_psp: money(self.at_psp_minor, self.at_psp_currency.as_deref())?,
            in_ledger: money(self.in_ledger_minor, self.in_ledger_currency.as_deref())?,
            is_resolved: self.is_resolved,
            source_id: self.source_id,
        })
    }
}

/// The newest run for `day`, or of all days.
pub(crate) async fn newest(pool: &PgPool, day: Option<Date>) -> Result<Option<Run>, Error> {
    let run: Option<(i64, Date, OffsetDateTime, i32, bool)> = sqlx::query_as(
        "SELECT run_id, day, ended_at, movements, is_settled FROM reconciliation_runs WHERE $1::date IS NULL OR day = $1
         ORDER BY run_id DESC LIMIT 1",
    )
    .bind(day)
    .fetch_optional(pool)
    .await?;
    let Some((run_id, day, ended_at, movements, is_settled)) = run else { return Ok(None) };
    let rows: Vec<DifferenceRow> = sqlx::query_as("SELECT * FROM reconciliation_differences WHERE run_id = $1 ORDER BY cause, source_id")
        .bind(run_id)
        .fetch_all(pool)
        .await?;
    let differences = rows.into_iter().map(DifferenceRow::difference).collect::<Result<_, _>>()?;
    let rows: Vec<(String, i64, i64)> =
        sqlx::query_as("SELECT currency, at_psp_minor, in_ledger_minor FROM reconciliation_totals WHERE run_id = $1 ORDER BY currency")
            .bind(run_id)
            .fetch_all(pool)
            .await?;
    let total = |(currency, at_psp_minor, in_ledger_minor): (String, i64, i64)| {
        let currency = currency.parse().map_err(|_| Error::CorruptEntry { source_id: run_id.to_string(), what: "currency" })?;
        Ok::<_, Error>(Total { currency, at_psp_minor, in_ledger_minor })
    };
    let totals = rows.into_iter().map(total).collect::<Result<_, _>>()?;
    Ok(Some(Run { run_id, ended_at, findings: Findings { day, movements, differences, totals, is_settled } }))
}

/// The days from `first` to `last` that are not settled, oldest first.
pub(crate) async fn unsettled(pool: &PgPool, first: Date, last: Date) -> Result<Vec<Date>, Error> {
    let days = sqlx::query_scalar(
        "SELECT day::date FROM generate_series($1::timestamp, $2::timestamp, '1 day') AS day
         WHERE NOT EXISTS (SELECT FROM reconciliation_runs run WHERE run.day = day::date AND run.is_settled) ORDER BY 1",
    );
    Ok(days.bind(first).bind(last).fetch_all(pool).await?)
}
