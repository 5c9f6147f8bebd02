//! Reservations and the stock they move. Locks: the order's row first, then stock rows in SKU order.

use std::collections::BTreeMap;

use ids::{OrderId, Region, Sku};
use sqlx::{FromRow, PgConnection, PgPool, Postgres, Transaction};
use store::outbox;

use crate::{
    domain::{self, Command, Event, Lines, Refusal, Reservation, Shelf, State, Stock},
    error::Error,
    events,
    store::rights,
};

/// What a command led to.
#[derive(Debug)]
pub(crate) struct Applied {
    /// Where the reservation stands now.
    pub(crate) state: State,
    /// What happened; nothing when it was done before.
    pub(crate) events: Vec<Event>,
}

/// Applies `command` to the order's reservation; `home` is the order's, for one that there is not yet. A refused `Reserve` is kept as a tombstone: it
/// must not succeed later, when its caller has long gone on without it.
pub(crate) async fn apply(pool: &PgPool, id: OrderId, home: Region, command: Command) -> Result<Applied, Error> {
    let mut tx = pool.begin().await?;
    let applied = apply_in(&mut tx, id, home, command).await;
    keep(tx, id, home, applied).await
}

/// What became of a `Reserve` that can wait.
#[derive(Debug)]
pub(crate) enum Tried {
    /// It is done.
    Applied(Applied),
    /// Of these the home has not enough, and the other one may have some. Nothing was changed.
    Short(Vec<Sku>),
}

/// A `Reserve` that can wait.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) id: OrderId,
    pub(crate) home: Region,
    pub(crate) lines: Lines,
    /// It is not refused yet while there is hope for what it is short of.
    pub(crate) may_wait: bool,
    /// There is another region to be asked.
    pub(crate) has_peer: bool,
}

/// Reserves; one that may wait is not refused yet while there is hope for what it is short of.
pub(crate) async fn try_to_reserve(pool: &PgPool, wish: Wish) -> Result<Tried, Error> {
    let Wish { id, home, lines, may_wait, has_peer } = wish;
    let mut tx = pool.begin().await?;
    let applied = apply_in(&mut tx, id, home, Command::Reserve(lines)).await;
    if let Err(Error::Refused(Refusal::OutOfStock(skus))) = &applied
        && may_wait
        && is_new_in(&mut tx, id).await?
        && rights::hopeless_in(&mut tx, home, skus, has_peer).await?.is_empty()
    {
        return Ok(Tried::Short(skus.clone()));
    }
    keep(tx, id, home, applied).await.map(Tried::Applied)
}

/// Commits what was applied or refused.
async fn keep(mut tx: Transaction<'_, Postgres>, id: OrderId, home: Region, applied: Result<Applied, Error>) -> Result<Applied, Error> {
    let applied = kept_in(&mut tx, id, home, applied).await;
    if matches!(applied, Ok(_) | Err(Error::Refused(_))) {
        tx.commit().await?;
    }
    applied
}

/// [`apply`] within the caller's transaction, which is to be committed after a refusal too.
pub(crate) async fn apply_or_refuse_in(tx: &mut PgConnection, id: OrderId, home: Region, command: Command) -> Result<Applied, Error> {
    let applied = apply_in(tx, id, home, command).await;
    kept_in(tx, id, home, applied).await
}

/// Whether nothing was decided for the order before: its refusal was not kept.
async fn is_new_in(tx: &mut PgConnection, id: OrderId) -> Result<bool, Error> {
    let version: Option<i64> =
        sqlx::query_scalar("SELECT version FROM reservations WHERE order_id = $1").bind(id.as_uuid()).fetch_optional(tx).await?;
    Ok(version == Some(0))
}

/// The same, once a refusal is kept.
async fn kept_in(tx: &mut PgConnection, id: OrderId, home: Region, applied: Result<Applied, Error>) -> Result<Applied, Error> {
    if let Err(Error::Refused(refusal)) = &applied
        && let Some((why, skus)) = kept_of(refusal)
    {
        refuse_in(tx, id, home, why, skus).await?;
    }
    applied
}

/// What is kept of the refusal of a `Reserve`: its name, and the SKUs that it is about.
pub(super) fn kept_of(refusal: &Refusal) -> Option<(&'static str, &[Sku])> {
    match refusal {
        Refusal::OutOfStock(skus) => Some(("out_of_stock", skus)),
        Refusal::UnknownSku(skus) => Some(("unknown_sku", skus)),
        _ => None,
    }
}

/// Keeps a refusal, on the row that [`apply_in`] has claimed; once, also when it is only repeated.
async fn refuse_in(tx: &mut PgConnection, id: OrderId, home: Region, why: &str, skus: &[Sku]) -> Result<(), Error> {
    let kept = sqlx::query("UPDATE reservations SET refused = $2, refused_skus = $3 WHERE order_id = $1 AND version = 0")
        .bind(id.as_uuid())
        .bind(why)
        .bind(skus.iter().map(Sku::as_str).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
    if kept.rows_affected() == 1 {
        write_in(tx, id, home, &Event::Released(Lines::default()), 1, false).await?;
    }
    Ok(())
}

/// Applies `command` within the caller's transaction. A refused `Commit` or `Release` leaves nothing behind; after a refused `Reserve` the
/// caller must roll back.
pub(crate) async fn apply_in(tx: &mut PgConnection, id: OrderId, home: Region, command: Command) -> Result<Applied, Error> {
    let held = match &command {
        // Only these can bring a reservation into being.
        Command::Reserve(_) | Command::Release if claim_in(tx, id, home).await? => None,
        _ => lock_in(tx, id).await?,
    };
    // One that is there knows its home.
    let (home, reservation) = held.map_or((home, None), |(home, reservation)| (home, Some(reservation)));
    let lines = match (&reservation, &command) {
        (None, Command::Reserve(lines)) => lines.clone(),
        (Some(reservation), Command::Release | Command::Commit) if reservation.state == State::Reserved => reservation.lines.clone(),
        _ => Lines::default(),
    };
    let mut shelf = Shelf { reservation, stock: lock_stock_in(tx, home, &lines).await? };
    let events = domain::decide(&shelf, command)?;
    for event in &events {
        let is_new = shelf.reservation.is_none();
        shelf = domain::apply(shelf, event);
        let version = shelf.reservation.as_ref().map_or(0, |reservation| reservation.version);
        write_in(tx, id, home, event, version, is_new).await?;
    }
    let state = shelf.reservation.map(|reservation| reservation.state);
    let state = state.ok_or_else(|| corrupt(id, "state"))?;
    Ok(Applied { state, events })
}

/// Makes the order's row, under the order's lock. Version 0: nothing is decided yet; it never commits so. False when there is one.
async fn claim_in(tx: &mut PgConnection, id: OrderId, home: Region) -> Result<bool, Error> {
    let inserted = sqlx::query(
        "WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtextextended('order ' || $1::uuid, 0)))
         INSERT INTO reservations (order_id, home, state, version)
         SELECT $1, $2, 'released', 0 FROM turn WHERE NOT EXISTS (SELECT FROM reservations WHERE order_id = $1) ON CONFLICT DO NOTHING",
    )
    .bind(id.as_uuid())
    .bind(home.as_str())
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

#[derive(FromRow)]
struct Row {
    home: String,
    is_held: bool,
    state: String,
    version: i64,
    refused: Option<String>,
    refused_skus: Option<Vec<String>>,
}

impl Row {
    fn refusal(&self, id: OrderId) -> Result<Option<Refusal>, Error> {
        let Some(refused) = &self.refused else { return Ok(None) };
        let skus = self.refused_skus.iter().flatten().map(|sku| sku.parse().map_err(|_| corrupt(id, "refused_skus")));
        let skus = skus.collect::<Result<_, Error>>()?;
        Ok(Some(if refused == "unknown_sku" { Refusal::UnknownSku(skus) } else { Refusal::OutOfStock(skus) }))
    }
}

async fn lock_in(tx: &mut PgConnection, id: OrderId) -> Result<Option<(Region, Reservation)>, Error> {
    let row: Option<Row> = sqlx::query_as("SELECT home, region.holds(home) AS is_held, state, version, refused, refused_skus FROM reservations WHERE order_id = $1 FOR UPDATE")
        .bind(id.as_uuid())
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    if !row.is_held {
        // What is remembered here may be undone.
        return Err(Error::Fenced);
    }
    let lines: Vec<(String, i64)> =
        sqlx::query_as("SELECT sku, quantity FROM reservation_lines WHERE order_id = $1").bind(id.as_uuid()).fetch_all(tx).await?;
    let line = |(sku, quantity): (String, i64)| {
        let sku = sku.parse().map_err(|_| corrupt(id, "sku"))?;
        Ok((sku, u32::try_from(quantity).map_err(|_| corrupt(id, "quantity"))?))
    };
    let home = row.home.parse().map_err(|_| corrupt(id, "home"))?;
    let reservation = Reservation {
        state: State::of(&row.state).ok_or_else(|| corrupt(id, "state"))?,
        refusal: row.refusal(id)?,
        lines: lines.into_iter().map(line).collect::<Result<_, Error>>()?,
        version: row.version.cast_unsigned(),
    };
    Ok(Some((home, reservation)))
}

/// The home of the order's reservation, if there is one.
pub(crate) async fn home_in(connection: &mut PgConnection, id: OrderId) -> Result<Option<Region>, Error> {
    let home: Option<String> =
        sqlx::query_scalar("SELECT home FROM reservations WHERE order_id = $1").bind(id.as_uuid()).fetch_optional(connection).await?;
    home.map(|home| home.parse().map_err(|_| corrupt(id, "home"))).transpose()
}

fn corrupt(id: OrderId, what: &'static str) -> Error {
    Error::Corrupt { row: format!("reservation {id}"), what }
}

/// Locks and reads the home's stock of these lines, in SKU order.
pub(super) async fn lock_stock_in(tx: &mut PgConnection, home: Region, lines: &Lines) -> Result<BTreeMap<Sku, Stock>, Error> {
    if lines.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(String, i64, i64, i64)> =
        sqlx::query_as("SELECT sku, on_hand, reserved, sold FROM stock WHERE home = $1 AND sku = ANY($2) ORDER BY sku FOR UPDATE")
            .bind(home.as_str())
            .bind(lines.skus().map(Sku::as_str).collect::<Vec<_>>())
            .fetch_all(tx)
            .await?;
    let stock = |(sku, on_hand, reserved, sold): (String, i64, i64, i64)| {
        let sku = sku.parse().map_err(|_| Error::Corrupt { row: format!("stock {sku}"), what: "sku" })?;
        Ok((sku, Stock { on_hand, reserved, sold }))
    };
    rows.into_iter().map(stock).collect()
}

/// One statement for all that an event changes. Its lines are kept when they are the reservation's first.
const WRITE: &str = "
    WITH line AS (
        SELECT * FROM unnest($4::text[], $5::bigint[]) AS line (sku, quantity)
    ), moved AS (
        UPDATE stock SET on_hand = on_hand + $6 * quantity, reserved = reserved + $7 * quantity, sold = sold + $8 * quantity
        FROM line WHERE stock.home = $10 AND stock.sku = line.sku
    ), kept AS (
        INSERT INTO reservation_lines (order_id, home, sku, quantity) SELECT $1, $10, sku, quantity FROM line WHERE $9
    )
    UPDATE reservations SET state = $2, version = $3 WHERE order_id = $1";

async fn write_in(tx: &mut PgConnection, id: OrderId, home: Region, event: &Event, version: u64, is_new: bool) -> Result<(), Error> {
    let ((skus, quantities), movement) = (columns(event.lines()), event.movement());
    sqlx::query(WRITE)
        .bind(id.as_uuid())
        .bind(event.state().as_str())
        .bind(version.cast_signed())
        .bind(skus)
        .bind(quantities)
        .bind(movement.on_hand)
        .bind(movement.reserved)
        .bind(movement.sold)
        .bind(is_new)
        .bind(home.as_str())
        .execute(&mut *tx)
        .await?;
    Ok(outbox::append_in(tx, &events::of_reservation(id, event, version), Some(home)).await?)
}

fn columns(lines: &Lines) -> (Vec<String>, Vec<i64>) {
    lines.iter().map(|(sku, quantity)| (sku.to_string(), i64::from(quantity))).unzip()
}
