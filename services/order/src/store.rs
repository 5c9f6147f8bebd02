//! Orders in PostgreSQL. Every change commits with its event.

use ids::{OrderId, Region};
use money::Money;
use sha2::{Digest as _, Sha256};
use sqlx::{FromRow, PgConnection, PgPool};
use store::{
    idempotency::{self, Claim},
    outbox,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{self, Address, Command, Line, Order, Request, State},
    error::Error,
    events, metrics,
};

/// An order and when it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) order: Order,
    pub(crate) placed_at: OffsetDateTime,
}

/// What became of a `PlaceOrder`.
#[derive(Debug)]
pub(crate) enum Placed {
    /// Accepted now.
    New(Box<Stored>),
    /// This key had been answered with that order.
    Replayed(OrderId),
}

#[derive(FromRow)]
struct OrderRow {
    order_id: Uuid,
    session_id: String,
    state: String,
    home_region: String,
    payment_token: String,
    address: sqlx::types::Json<Address>,
    total_minor: i64,
    currency: String,
    cancel_reason: String,
    version: i64,
    placed_at: OffsetDateTime,
}

#[derive(FromRow)]
struct LineRow {
    sku: String,
    quantity: i32,
    title: String,
    unit_minor: i64,
}

/// The part of a request that a repeat must share: who pays and where it goes. Lines come from the cart, which the order empties.
fn request_hash(request: &Request) -> Vec<u8> {
    let address = serde_json::to_vec(&request.address).expect("an address is plain text");
    Sha256::new().chain_update(request.payment_token.as_bytes()).chain_update([0]).chain_update(address).finalize().to_vec()
}

/// Accepts an order, or finds the one that this key made before.
pub(crate) async fn place(pool: &PgPool, home: Region, request: Request) -> Result<Placed, Error> {
    let (scope, key) = (format!("place/{}", request.session), request.key.to_string());
    let hash = request_hash(&request);
    let mut tx = pool.begin().await?;
    match idempotency::claim_in(&mut tx, &scope, &key, &hash).await? {
        Claim::Reused => return Err(Error::KeyReused),
        Claim::Replay(answer) => {
            let id = Uuid::from_slice(&answer).map_err(|_| Error::Malformed("the stored answer is no order id".to_owned()))?;
            return Ok(Placed::Replayed(OrderId::from_uuid(id)));
        }
        Claim::New => {}
    }
    let order = domain::place(OrderId::from_uuid(Uuid::now_v7()), home, request)?;
    let placed_at = insert_in(&mut tx, &order).await?;
    outbox::append_in(&mut tx, &events::of(&order)).await?;
    idempotency::answer_in(&mut tx, &scope, &key, order.id.as_uuid().as_bytes()).await?;
    // The commit may have happened although its answer was lost.
    tx.commit().await.map_err(Error::CommitUnknown)?;
    Ok(Placed::New(Box::new(Stored { order, placed_at })))
}

async fn insert_in(tx: &mut PgConnection, order: &Order) -> Result<OffsetDateTime, Error> {
    let placed_at = sqlx::query_scalar(
        "INSERT INTO orders (order_id, session_id, state, home_region, payment_token, address, total_minor, currency, version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING placed_at",
    )
    .bind(order.id.as_uuid())
    .bind(order.session.as_str())
    .bind(order.state.as_str())
    .bind(order.home.as_str())
    .bind(&order.payment_token)
    .bind(sqlx::types::Json(&order.address))
    .bind(order.total.amount_minor)
    .bind(order.total.currency.as_str())
    .bind(order.version.cast_signed())
    .fetch_one(&mut *tx)
    .await?;
    let column = |of: fn(&Line) -> String| order.lines.iter().map(of).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO order_lines (order_id, line_no, sku, quantity, title, unit_minor)
         SELECT $1, row_number() OVER (), * FROM unnest($2::text[], $3::int[], $4::text[], $5::bigint[])",
    )
    .bind(order.id.as_uuid())
    .bind(column(|line| line.sku.to_string()))
    .bind(order.lines.iter().map(|line| line.quantity.cast_signed()).collect::<Vec<_>>())
    .bind(column(|line| line.title.clone()))
    .bind(order.lines.iter().map(|line| line.unit_price.amount_minor).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(placed_at)
}

/// Reads an order of either region.
pub(crate) async fn get(pool: &PgPool, id: OrderId) -> Result<Stored, Error> {
    let mut connection = pool.acquire().await?;
    let row = sqlx::query_as("SELECT * FROM orders WHERE order_id = $1").bind(id.as_uuid()).fetch_optional(&mut *connection).await?;
    read_in(&mut connection, row.ok_or(Error::NotFound)?).await
}

/// Applies `command` and says its event, in one transaction. False when it was applied before.
pub(crate) async fn apply(pool: &PgPool, id: OrderId, command: Command) -> Result<bool, Error> {
    let mut tx = pool.begin().await?;
    let row = sqlx::query_as("SELECT * FROM orders WHERE order_id = $1 FOR UPDATE").bind(id.as_uuid()).fetch_optional(&mut *tx).await?;
    let order = read_in(&mut tx, row.ok_or(Error::NotFound)?).await?.order;
    let Some(next) = domain::decide(&order, command)? else { return Ok(false) };
    sqlx::query("UPDATE orders SET state = $2, cancel_reason = $3, version = $4 WHERE order_id = $1")
        .bind(id.as_uuid())
        .bind(next.state.as_str())
        .bind(&next.cancel_reason)
        .bind(next.version.cast_signed())
        .execute(&mut *tx)
        .await?;
    outbox::append_in(&mut tx, &events::of(&next)).await?;
    tx.commit().await?;
    metrics::count(next.state);
    Ok(true)
}

async fn read_in(connection: &mut PgConnection, row: OrderRow) -> Result<Stored, Error> {
    let lines: Vec<LineRow> =
        sqlx::query_as("SELECT sku, quantity, title, unit_minor FROM order_lines WHERE order_id = $1 ORDER BY line_no")
            .bind(row.order_id)
            .fetch_all(connection)
            .await?;
    let corrupt = |what| Error::Corrupt { order_id: row.order_id, what };
    let currency = row.currency.parse().map_err(|_| corrupt("currency"))?;
    let line = |line: LineRow| {
        Ok(Line {
            sku: line.sku.parse().map_err(|_| corrupt("sku"))?,
            quantity: u32::try_from(line.quantity).map_err(|_| corrupt("quantity"))?,
            title: line.title,
            unit_price: Money::new(line.unit_minor, currency),
        })
    };
    let order = Order {
        id: OrderId::from_uuid(row.order_id),
        session: row.session_id.parse().map_err(|_| corrupt("session_id"))?,
        state: State::of(&row.state).ok_or_else(|| corrupt("state"))?,
        home: row.home_region.parse().map_err(|_| corrupt("home_region"))?,
        lines: lines.into_iter().map(line).collect::<Result<_, Error>>()?,
        total: Money::new(row.total_minor, currency),
        payment_token: row.payment_token,
        address: row.address.0,
        cancel_reason: row.cancel_reason,
        version: row.version.cast_unsigned(),
    };
    Ok(Stored { order, placed_at: row.placed_at })
}

/// Notes that the order's workflow was started.
pub(crate) async fn mark_started(pool: &PgPool, id: OrderId) -> Result<(), Error> {
    sqlx::query("INSERT INTO sagas (order_id) VALUES ($1) ON CONFLICT (order_id) DO UPDATE SET started_at = now()")
        .bind(id.as_uuid())
        .execute(pool)
        .await?;
    Ok(())
}

/// An open order whose workflow may be missing.
pub(crate) struct Unstarted {
    pub(crate) id: OrderId,
    /// It was noted as started, but that is long ago.
    pub(crate) was_started: bool,
}

/// Open orders of `home`, oldest first, whose workflow may be missing: for 2 s not noted as started, or noted more than a minute ago.
pub(crate) async fn list_unstarted(pool: &PgPool, home: Region) -> Result<Vec<Unstarted>, Error> {
    let rows: Vec<(Uuid, bool)> = sqlx::query_as(
        "SELECT o.order_id, s.order_id IS NOT NULL FROM orders o LEFT JOIN sagas s USING (order_id)
         WHERE o.state IN ('placed', 'confirmed') AND o.home_region = $1
           AND (s.order_id IS NULL AND o.placed_at < now() - interval '2 seconds' OR s.started_at < now() - interval '1 minute')
         ORDER BY s.order_id IS NOT NULL, o.placed_at LIMIT 500",
    )
    .bind(home.as_str())
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(id, was_started)| Unstarted { id: OrderId::from_uuid(id), was_started }).collect())
}

/// Notes that the order waits for the shopper's bank.
pub(crate) async fn note_step_up_in(tx: &mut PgConnection, id: OrderId) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO step_ups (order_id) VALUES ($1) ON CONFLICT DO NOTHING").bind(id.as_uuid()).execute(tx).await.map(drop)
}

/// Forgets that the order waits. True when it did.
pub(crate) async fn end_step_up_in(tx: &mut PgConnection, id: OrderId) -> sqlx::Result<bool> {
    let deleted = sqlx::query("DELETE FROM step_ups WHERE order_id = $1").bind(id.as_uuid()).execute(tx).await?;
    Ok(deleted.rows_affected() > 0)
}
