//! Rights in PostgreSQL: what was asked of the other home, and what moved. Locks: stock rows in order of SKU and home.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ids::{Region, Sku};
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

/// Units that go, or went, from one home to the other under this id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) id: Uuid,
    /// The home that gives them.
    pub(crate) from: Region,
    pub(crate) sku: Sku,
    pub(crate) quantity: i64,
}

impl Transfer {
    fn half(&self, home: Region) -> Half<'_> {
        Half { home, transfer: self }
    }
}

/// What a transfer is to one of the homes.
#[derive(Debug, Clone, Copy)]
struct Half<'a> {
    home: Region,
    transfer: &'a Transfer,
}

impl Half<'_> {
    fn change(self) -> i64 {
        if self.home == self.transfer.from { -self.transfer.quantity } else { self.transfer.quantity }
    }
}

/// What was last asked for a SKU, and under which id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) transfer: Uuid,
    pub(crate) asked: Asked,
}

/// What an order is short of.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    pub(crate) sku: Sku,
    /// What the order needs.
    pub(crate) least: i64,
    /// What is wanted on hand for those that come after it.
    pub(crate) wanted: i64,
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

/// The homes that this region holds now.
pub(crate) async fn held_in(connection: &mut PgConnection) -> Result<Vec<Region>, Error> {
    let homes: Vec<String> =
        sqlx::query_scalar("SELECT home FROM region.homes WHERE holder = region.self() AND valid_until > clock_timestamp() ORDER BY home")
            .fetch_all(connection)
            .await?;
    homes.iter().map(|home| region(home)).collect()
}

/// What `home` last asked for these SKUs.
pub(crate) async fn asked_in(connection: &mut PgConnection, home: Region, skus: &[Sku]) -> Result<BTreeMap<Sku, Ask>, Error> {
    let rows: Vec<AskRow> = sqlx::query_as(
        "SELECT asked.sku, asked.transfer_id, asked.is_urgent, moved.quantity AS given,
                (extract(epoch FROM clock_timestamp() - asked.asked_at) * 1000)::bigint AS asked_ms,
                (extract(epoch FROM clock_timestamp() - moved.moved_at) * 1000)::bigint AS answered_ms
         FROM rights_asked asked LEFT JOIN rights_moved moved USING (home, transfer_id) WHERE asked.home = $1 AND asked.sku = ANY($2)",
    )
    .bind(home.as_str())
    .bind(names(skus))
    .fetch_all(connection)
    .await?;
    let ask = |row: AskRow| {
        let since = |ms: i64| Duration::from_millis(ms.max(0).unsigned_abs());
        let asked = Asked { age: since(row.asked_ms), is_urgent: row.is_urgent, answer: row.given.zip(row.answered_ms.map(since)) };
        Ok((sku(&row.sku)?, Ask { transfer: row.transfer_id, asked }))
    };
    rows.into_iter().map(ask).collect()
}

/// Asks the other home for units, unless somebody else has asked since `last` was read.
pub(crate) async fn ask(pool: &PgPool, wanted: &Transfer, is_urgent: bool, last: Option<Ask>) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    let asked = sqlx::query(
        "INSERT INTO rights_asked (home, sku, transfer_id, wanted, is_urgent) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (home, sku) DO UPDATE SET transfer_id = excluded.transfer_id, wanted = excluded.wanted, is_urgent = excluded.is_urgent,
             asked_at = clock_timestamp()
         WHERE rights_asked.transfer_id = $6",
    )
    .bind(wanted.from.peer().as_str())
    .bind(wanted.sku.as_str())
    .bind(wanted.id)
    .bind(wanted.quantity)
    .bind(is_urgent)
    .bind(last.map(|ask| ask.transfer))
    .execute(&mut *tx)
    .await?;
    if asked.rows_affected() == 1 {
        outbox::append_in(&mut tx, &events::rights_wanted(wanted, is_urgent), None).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Locks the stock that these homes have of these SKUs, and tells what is on hand. What is not there is left out.
pub(crate) async fn lock_in(tx: &mut PgConnection, homes: &[Region], skus: &[Sku]) -> Result<BTreeMap<(Region, Sku), i64>, Error> {
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT home, sku, on_hand FROM stock WHERE home = ANY($1) AND sku = ANY($2) ORDER BY sku, home FOR UPDATE")
            .bind(homes.iter().map(|home| home.as_str()).collect::<Vec<_>>())
            .bind(names(skus))
            .fetch_all(tx)
            .await?;
    rows.into_iter().map(|(home, name, on_hand)| Ok(((region(&home)?, sku(&name)?), on_hand))).collect()
}

/// Gives units whose stock is locked and has them, and says so; none, when none can be spared. Who holds both homes, `held`, takes them in at once and
/// says nothing. False when this transfer was made before.
pub(crate) async fn give_in(tx: &mut PgConnection, given: &Transfer, held: &[Region]) -> Result<bool, Error> {
    let to = given.from.peer();
    if held.contains(&to) {
        return Ok(move_in(tx, &[given.half(given.from), given.half(to)]).await?.contains(&(given.from, given.id)));
    }
    if move_in(tx, &[given.half(given.from)]).await?.is_empty() {
        return Ok(false);
    }
    outbox::append_in(tx, &events::rights_moved(given), None).await?;
    Ok(true)
}

/// Notes halves of transfers, each once, and moves their units. Tells those that are new.
async fn move_in(tx: &mut PgConnection, halves: &[Half<'_>]) -> Result<BTreeSet<(Region, Uuid)>, Error> {
    let rows: Vec<(String, Uuid)> = sqlx::query_as(
        "WITH half AS (
             SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::bigint[]) AS half (home, transfer_id, sku, quantity)
         ), noted AS (
             INSERT INTO rights_moved (home, transfer_id, sku, quantity)
             SELECT home, transfer_id, sku, quantity FROM half
             WHERE quantity = 0 OR EXISTS (SELECT FROM stock WHERE stock.home = half.home AND stock.sku = half.sku)
             ON CONFLICT DO NOTHING RETURNING home, transfer_id, sku, quantity
         ), moved AS (
             UPDATE stock SET on_hand = on_hand + sum.quantity, stocked = stocked + sum.quantity, moved = moved + sum.quantity
             FROM (SELECT home, sku, sum(quantity)::bigint AS quantity FROM noted WHERE quantity <> 0 GROUP BY home, sku) AS sum
             WHERE stock.home = sum.home AND stock.sku = sum.sku
         )
         SELECT home, transfer_id FROM noted",
    )
    .bind(halves.iter().map(|half| half.home.as_str()).collect::<Vec<_>>())
    .bind(halves.iter().map(|half| half.transfer.id).collect::<Vec<_>>())
    .bind(halves.iter().map(|half| half.transfer.sku.as_str()).collect::<Vec<_>>())
    .bind(halves.iter().map(|half| half.change()).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(|(home, id)| Ok((region(&home)?, id))).collect()
}

/// Gives units because somebody wants it so. A repeat gives the first answer.
pub(crate) async fn give(pool: &PgPool, wanted: &Transfer) -> Result<i64, Error> {
    let mut tx = pool.begin().await?;
    let held = held_in(&mut tx).await?;
    if !held.contains(&wanted.from) {
        return Err(Error::Fenced);
    }
    let homes: &[Region] = if held.contains(&wanted.from.peer()) { &Region::ALL } else { &[wanted.from] };
    let sku = std::slice::from_ref(&wanted.sku);
    let on_hand = lock_in(&mut tx, homes, sku).await?;
    let Some(&on_hand) = on_hand.get(&(wanted.from, wanted.sku.clone())) else { return Err(Refusal::UnknownSku(sku.to_vec()).into()) };
    let made: Option<(String, i64)> = sqlx::query_as("SELECT sku, quantity FROM rights_moved WHERE home = $1 AND transfer_id = $2")
        .bind(wanted.from.as_str())
        .bind(wanted.id)
        .fetch_optional(&mut *tx)
        .await?;
    match made {
        Some((sku, quantity)) if sku == wanted.sku.as_str() && quantity == -wanted.quantity => return Ok(wanted.quantity),
        Some(_) => return Err(Refusal::TransferDiffers.into()),
        None if on_hand < wanted.quantity => return Err(Refusal::OutOfStock(sku.to_vec()).into()),
        None => {}
    }
    if !give_in(&mut tx, wanted, &held).await? {
        // Another one of that id, for another SKU, came first.
        return Err(Refusal::TransferDiffers.into());
    }
    tx.commit().await?;
    Ok(wanted.quantity)
}

/// Takes for `home`, from the other home that this region holds too, what an order is short of, in one transaction. False when there is not enough.
pub(crate) async fn pull(pool: &PgPool, home: Region, wants: &[Want]) -> Result<bool, Error> {
    let mut tx = pool.begin().await?;
    let skus: Vec<Sku> = wants.iter().map(|want| want.sku.clone()).collect();
    let on_hand = lock_in(&mut tx, &Region::ALL, &skus).await?;
    let mut pulled = Vec::new();
    for Want { sku, least, wanted } in wants {
        let [here, there] = [home, home.peer()].map(|home| on_hand.get(&(home, sku.clone())).copied().unwrap_or(0));
        let short = least - here;
        if short > there {
            return Ok(false);
        }
        // Otherwise another order has pulled since.
        if short > 0 {
            let quantity = rights::share(there, short, *wanted);
            pulled.push(Transfer { id: Uuid::now_v7(), from: home.peer(), sku: sku.clone(), quantity });
        }
    }
    let halves: Vec<Half<'_>> = pulled.iter().flat_map(|transfer| Region::ALL.map(|home| transfer.half(home))).collect();
    if !halves.is_empty() {
        move_in(&mut tx, &halves).await?;
        tx.commit().await?;
    }
    Ok(true)
}

/// Most transfers that are looked at at once.
const MOST: i64 = 1000;

/// Takes in what was given to the homes that this region holds, and whose giver's half is here. Tells each transfer's units.
pub(crate) async fn take(pool: &PgPool) -> Result<BTreeMap<Uuid, i64>, Error> {
    let mut tx = pool.begin().await?;
    let rows: Vec<(Uuid, String, String, i64)> = sqlx::query_as(
        "WITH way AS MATERIALIZED (
             SELECT transfer_id, home FROM rights_on_their_way WHERE region.holds(home) ORDER BY transfer_id LIMIT $1
         )
         SELECT given.transfer_id, given.home, given.sku, -given.quantity
         FROM way JOIN rights_moved given
           ON given.home = CASE way.home WHEN 'eu' THEN 'us' ELSE 'eu' END AND given.transfer_id = way.transfer_id
         WHERE given.quantity = 0 OR EXISTS (SELECT FROM stock WHERE stock.home = way.home AND stock.sku = given.sku)",
    )
    .bind(MOST)
    .fetch_all(&mut *tx)
    .await?;
    if rows.is_empty() {
        return Ok(BTreeMap::new());
    }
    let transfer =
        |(id, home, name, quantity): (Uuid, String, String, i64)| Ok(Transfer { id, from: region(&home)?, sku: sku(&name)?, quantity });
    let transfers: Vec<Transfer> = rows.into_iter().map(transfer).collect::<Result<_, Error>>()?;
    let homes: Vec<Region> = transfers.iter().map(|transfer| transfer.from.peer()).collect::<BTreeSet<_>>().into_iter().collect();
    let skus: Vec<Sku> = transfers.iter().map(|transfer| transfer.sku.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    lock_in(&mut tx, &homes, &skus).await?;
    let halves: Vec<Half<'_>> = transfers.iter().map(|transfer| transfer.half(transfer.from.peer())).collect();
    let new = move_in(&mut tx, &halves).await?;
    tx.commit().await?;
    Ok(transfers.iter().filter(|one| new.contains(&(one.from.peer(), one.id))).map(|one| (one.id, one.quantity)).collect())
}

/// Those of these transfers to `home` that are not taken in.
pub(crate) async fn missing_in(connection: &mut PgConnection, home: Region, ids: &[Uuid]) -> Result<Vec<Uuid>, Error> {
    let missing = sqlx::query_scalar(
        "SELECT id FROM unnest($2::uuid[]) AS said (id)
         WHERE NOT EXISTS (SELECT FROM rights_moved WHERE home = $1 AND transfer_id = id)",
    );
    Ok(missing.bind(home.as_str()).bind(ids).fetch_all(connection).await?)
}

/// What `home` has on hand of these SKUs, without a lock.
pub(crate) async fn on_hand_in(connection: &mut PgConnection, home: Region, skus: &[Sku]) -> Result<BTreeMap<Sku, i64>, Error> {
    let rows: Vec<(String, i64)> = sqlx::query_as("SELECT sku, on_hand FROM stock WHERE home = $1 AND sku = ANY($2)")
        .bind(home.as_str())
        .bind(names(skus))
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(|(name, on_hand)| Ok((sku(&name)?, on_hand))).collect()
}

/// Those that an order of `home` that is short of them cannot hope for. The home's stock is locked, so of a region that holds both homes what it has
/// of the other one is the answer.
pub(crate) async fn hopeless_in(connection: &mut PgConnection, home: Region, skus: &[Sku], has_peer: bool) -> Result<BTreeSet<Sku>, Error> {
    let held = held_in(connection).await?;
    if !held.contains(&home) {
        return Err(Error::Fenced);
    }
    if held.contains(&home.peer()) {
        let there = on_hand_in(connection, home.peer(), skus).await?;
        return Ok(skus.iter().filter(|sku| there.get(*sku).is_none_or(|on_hand| *on_hand == 0)).cloned().collect());
    }
    if !has_peer {
        return Ok(skus.iter().cloned().collect());
    }
    let asked = asked_in(connection, home, skus).await?;
    let is_hopeless = |sku: &&Sku| rights::hope(asked.get(*sku).map(|ask| ask.asked)) == rights::Hope::None;
    Ok(skus.iter().filter(is_hopeless).cloned().collect())
}

fn names(skus: &[Sku]) -> Vec<&str> {
    skus.iter().map(Sku::as_str).collect()
}

fn sku(name: &str) -> Result<Sku, Error> {
    name.parse().map_err(|_| Error::Corrupt { row: format!("stock {name}"), what: "sku" })
}

fn region(name: &str) -> Result<Region, Error> {
    name.parse().map_err(|_| Error::Corrupt { row: format!("home {name}"), what: "home" })
}
