//! Rights in PostgreSQL: what was asked of the other region, and what moved. Locks: stock rows in SKU order.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ids::Sku;
use sqlx::{FromRow, PgConnection, PgPool};
use store::outbox;
use uuid::Uuid;

use crate::{
    domain::{
        Refusal,
        rights::{self, Asked},
    },
    error::Error,
    events,
};

/// Units that go, or went, to the other region under this id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) id: Uuid,
    pub(crate) sku: Sku,
    pub(crate) quantity: i64,
}

/// What was last asked for a SKU, and under which id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) transfer: Uuid,
    pub(crate) asked: Asked,
}

#[derive(FromRow)]
struct AskRow {
    sku: String,
    transfer_id: Uuid,
    is_urgent: bool,
    given: Option<i64>,
    asked_ms: i64,
    answered_ms: Option<i64>,
}

/// What was last asked for these SKUs.
pub(crate) async fn asked_in(connection: &mut PgConnection, skus: &[Sku]) -> Result<BTreeMap<Sku, Ask>, Error> {
    let rows: Vec<AskRow> = sqlx::query_as(
        "SELECT sku, transfer_id, is_urgent, given, (extract(epoch FROM clock_timestamp() - asked_at) * 1000)::bigint AS asked_ms,
                (extract(epoch FROM clock_timestamp() - answered_at) * 1000)::bigint AS answered_ms
         FROM rights_asked WHERE sku = ANY($1)",
    )
    .bind(names(skus))
    .fetch_all(connection)
    .await?;
    let ask = |row: AskRow| {
        let since = |ms: i64| Duration::from_millis(ms.max(0).unsigned_abs());
        let asked = Asked { age: since(row.asked_ms), is_urgent: row.is_urgent, answer: row.given.zip(row.answered_ms.map(since)) };
        let sku = row.sku.parse().map_err(|_| corrupt(&row.sku))?;
        Ok((sku, Ask { transfer: row.transfer_id, asked }))
    };
    rows.into_iter().map(ask).collect()
}

/// Asks the other region for units, unless somebody else has asked since `last` was read.
pub(crate) async fn ask(pool: &PgPool, wanted: &Transfer, is_urgent: bool, last: Option<Ask>) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    let asked = sqlx::query(
        "INSERT INTO rights_asked (sku, transfer_id, wanted, is_urgent) VALUES ($1, $2, $3, $4)
         ON CONFLICT (sku) DO UPDATE SET transfer_id = excluded.transfer_id, wanted = excluded.wanted, is_urgent = excluded.is_urgent,
             asked_at = clock_timestamp(), given = NULL, answered_at = NULL
         WHERE rights_asked.transfer_id = $5",
    )
    .bind(wanted.sku.as_str())
    .bind(wanted.id)
    .bind(wanted.quantity)
    .bind(is_urgent)
    .bind(last.map(|ask| ask.transfer))
    .execute(&mut *tx)
    .await?;
    if asked.rows_affected() == 1 {
        outbox::append_in(&mut tx, &events::rights_wanted(wanted, is_urgent)).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Locks the stock of these SKUs, in SKU order, and tells what is on hand. SKUs that are not in the catalog are left out.
pub(crate) async fn lock_in(tx: &mut PgConnection, skus: &[Sku]) -> Result<BTreeMap<Sku, i64>, Error> {
    let rows: Vec<(String, i64)> = sqlx::query_as("SELECT sku, on_hand FROM stock WHERE sku = ANY($1) ORDER BY sku FOR UPDATE")
        .bind(names(skus))
        .fetch_all(tx)
        .await?;
    rows.into_iter().map(|(sku, on_hand)| Ok((sku.parse().map_err(|_| corrupt(&sku))?, on_hand))).collect()
}

/// Gives units whose stock is locked and has them, and says so; none, when none can be spared. False when this transfer was made before.
pub(crate) async fn give_in(tx: &mut PgConnection, given: &Transfer) -> Result<bool, Error> {
    if !move_in(tx, given, -given.quantity).await? {
        return Ok(false);
    }
    outbox::append_in(tx, &events::rights_moved(given)).await?;
    Ok(true)
}

/// Takes in units whose stock is locked, and notes the answer. False when this transfer was made before.
pub(crate) async fn take_in(tx: &mut PgConnection, taken: &Transfer) -> Result<bool, Error> {
    if !move_in(tx, taken, taken.quantity).await? {
        return Ok(false);
    }
    sqlx::query("UPDATE rights_asked SET given = $2, answered_at = clock_timestamp() WHERE transfer_id = $1")
        .bind(taken.id)
        .bind(taken.quantity)
        .execute(tx)
        .await?;
    Ok(true)
}

/// Notes the transfer, once, and moves its units.
async fn move_in(tx: &mut PgConnection, transfer: &Transfer, change: i64) -> Result<bool, Error> {
    let moved = sqlx::query(
        "WITH noted AS (
             INSERT INTO rights_moved (transfer_id, sku, quantity) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING quantity
         ), moved AS (
             UPDATE stock SET on_hand = on_hand + quantity, stocked = stocked + quantity, moved = moved + quantity FROM noted WHERE sku = $2
         )
         SELECT FROM noted",
    )
    .bind(transfer.id)
    .bind(transfer.sku.as_str())
    .bind(change)
    .fetch_optional(tx)
    .await?;
    Ok(moved.is_some())
}

/// Gives units because somebody wants it so. A repeat gives the first answer.
pub(crate) async fn give(pool: &PgPool, wanted: &Transfer) -> Result<i64, Error> {
    let mut tx = pool.begin().await?;
    let sku = std::slice::from_ref(&wanted.sku);
    let on_hand = lock_in(&mut tx, sku).await?;
    let Some(&on_hand) = on_hand.get(&wanted.sku) else { return Err(Refusal::UnknownSku(sku.to_vec()).into()) };
    let made: Option<(String, i64)> =
        sqlx::query_as("SELECT sku, quantity FROM rights_moved WHERE transfer_id = $1").bind(wanted.id).fetch_optional(&mut *tx).await?;
    match made {
        Some((sku, quantity)) if sku == wanted.sku.as_str() && quantity == -wanted.quantity => return Ok(wanted.quantity),
        Some(_) => return Err(Refusal::TransferDiffers.into()),
        None if on_hand < wanted.quantity => return Err(Refusal::OutOfStock(sku.to_vec()).into()),
        None => {}
    }
    if !give_in(&mut tx, wanted).await? {
        // Another one of that id, for another SKU, came first.
        return Err(Refusal::TransferDiffers.into());
    }
    tx.commit().await?;
    Ok(wanted.quantity)
}

/// What is on hand of these SKUs, without a lock.
pub(crate) async fn on_hand_in(connection: &mut PgConnection, skus: &[Sku]) -> Result<BTreeMap<Sku, i64>, Error> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT sku, on_hand FROM stock WHERE sku = ANY($1)").bind(names(skus)).fetch_all(connection).await?;
    rows.into_iter().map(|(sku, on_hand)| Ok((sku.parse().map_err(|_| corrupt(&sku))?, on_hand))).collect()
}

/// Those that an order that is short of them cannot hope for.
pub(crate) async fn hopeless_in(connection: &mut PgConnection, skus: &[Sku]) -> Result<BTreeSet<Sku>, Error> {
    let asked = asked_in(connection, skus).await?;
    let is_hopeless = |sku: &&Sku| rights::hope(asked.get(*sku).map(|ask| ask.asked)) == rights::Hope::None;
    Ok(skus.iter().filter(is_hopeless).cloned().collect())
}

fn names(skus: &[Sku]) -> Vec<&str> {
    skus.iter().map(Sku::as_str).collect()
}

fn corrupt(sku: &str) -> Error {
    Error::Corrupt { row: format!("stock {sku}"), what: "sku" }
}
