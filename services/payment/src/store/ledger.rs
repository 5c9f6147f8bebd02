//! The ledger in PostgreSQL: entries are added and read, nothing else. The database itself refuses entries that do not balance.

use ids::OrderId;
use money::Money;
use sqlx::{FromRow, PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    error::Error,
    ledger::{Account, Cause, Posting},
    reconcile::Movement,
};

macro_rules! insert {
    ($conflict:literal) => {
        concat!(
            "INSERT INTO ledger_entries (home, order_id, cause, source_id, currency, occurred_at, account, amount_minor)
             SELECT coalesce((SELECT home FROM payments WHERE order_id = $1), region.self()), $1, $2, $3, $4, $5, account, amount FROM unnest($6::text[], $7::bigint[]) AS entry (account, amount)",
            $conflict
        )
    };
}

/// Enters what moved with an order's payment. The database refuses a second posting of its cause and source.
pub(crate) async fn post_in(tx: &mut PgConnection, order_id: OrderId, posting: &Posting) -> Result<(), Error> {
    enter_in(tx, insert!(""), Some(order_id), posting).await.map(drop)
}

/// Enters a settlement, unless it was entered before. True when it was not.
pub(crate) async fn settle_in(tx: &mut PgConnection, posting: &Posting) -> Result<bool, Error> {
    let entered = enter_in(tx, insert!(" ON CONFLICT ON CONSTRAINT ledger_entries_pkey DO NOTHING"), None, posting).await?;
    Ok(entered > 0)
}

async fn enter_in(tx: &mut PgConnection, insert: &'static str, order_id: Option<OrderId>, posting: &Posting) -> Result<u64, Error> {
    let (accounts, amounts): (Vec<&str>, Vec<i64>) =
        posting.entries().into_iter().map(|(account, amount)| (account.as_str(), amount)).unzip();
    let entered = sqlx::query(insert)
        .bind(order_id.map(OrderId::as_uuid))
        .bind(posting.cause.as_str())
        .bind(&posting.source_id)
        .bind(posting.amount.currency.to_string())
        .bind(moment(posting.at))
        .bind(accounts)
        .bind(amounts)
        .execute(tx)
        .await?;
    Ok(entered.rows_affected())
}

/// Unix ms as the database has it. What no calendar has is a fault of the provider's clock, and becomes the beginning of ours.
fn moment(millis: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[derive(FromRow)]
struct Row {
    cause: String,
    source_id: String,
    order_id: Option<Uuid>,
    amount_minor: i64,
    currency: String,
}

impl Row {
    fn movement(self) -> Result<Movement, Error> {
        let corrupt = |what| Error::CorruptEntry { source_id: self.source_id.clone(), what };
        let cause = Cause::of(&self.cause).ok_or_else(|| corrupt("cause"))?;
        let currency = self.currency.parse().map_err(|_| corrupt("currency"))?;
        let order_id = self.order_id.map(OrderId::from_uuid);
        let amount = Money::new(self.amount_minor, currency);
        Ok(Movement { cause, source_id: self.source_id, order_id, charge_id: None, amount })
    }
}

macro_rules! movements {
    ($which:literal) => {
        concat!(
            "SELECT cause, source_id, order_id, amount_minor, currency FROM ledger_entries
             WHERE home = region.self() AND account = 'psp_receivable' AND cause <> 'settlement' AND ",
            $which
        )
    };
}

/// What moved what the provider owes this region's own account, from one moment to another, unix ms.
pub(crate) async fn movements(pool: &PgPool, from: i64, to: i64) -> Result<Vec<Movement>, Error> {
    let query = sqlx::query_as(movements!("occurred_at >= $1 AND occurred_at < $2"));
    let rows: Vec<Row> = query.bind(moment(from)).bind(moment(to)).fetch_all(pool).await?;
    rows.into_iter().map(Row::movement).collect()
}

/// Those of `listed` that are in the ledger, whenever they happened.
pub(crate) async fn same_movements(pool: &PgPool, listed: &[Movement]) -> Result<Vec<Movement>, Error> {
    let (causes, sources): (Vec<&str>, Vec<&str>) =
        listed.iter().map(|movement| (movement.cause.as_str(), movement.source_id.as_str())).unzip();
    let query = sqlx::query_as(movements!("(cause, source_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))"));
    let rows: Vec<Row> = query.bind(causes).bind(sources).fetch_all(pool).await?;
    rows.into_iter().map(Row::movement).collect()
}

/// An account in one currency.
#[derive(Debug, FromRow)]
pub(crate) struct Balance {
    pub(crate) account: String,
    pub(crate) kind: String,
    pub(crate) balance_minor: i64,
    pub(crate) currency: String,
}

/// Every account of this region's own ledger that has entries, by currency and in the order of the chart.
pub(crate) async fn balances(pool: &PgPool) -> Result<Vec<Balance>, Error> {
    let chart: Vec<&str> = Account::ALL.iter().map(|account| account.as_str()).collect();
    let rows = sqlx::query_as(
        "SELECT account, kind, sum(amount_minor)::bigint AS balance_minor, currency
         FROM ledger_entries JOIN ledger_accounts USING (account) WHERE home = region.self()
         GROUP BY currency, account, kind ORDER BY currency, array_position($1, account)",
    );
    Ok(rows.bind(chart).fetch_all(pool).await?)
}
