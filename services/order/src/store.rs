//! Orders in PostgreSQL. Every change commits with its event.

mod placing;
pub(crate) mod sagas;

use ids::{IdempotencyKey, OrderId, SessionId};
use money::Money;
use sqlx::{FromRow, PgConnection, PgPool};
use store::{
    idempotency::{self, Claim},
    outbox::Event,
};
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use placing::{Placed, Placer, Pressure};

use crate::{
    domain::{self, Address, Command, Course, Line, Order, State},
    error::Error,
    events, metrics,
};

/// An order and when it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) order: Order,
    pub(crate) placed_at: OffsetDateTime,
}

#[derive(FromRow)]
struct OrderRow {
    order_id: Uuid,
    session_id: String,
    state: String,
    course: String,
    home_region: String,
    payment_token: String,
    address: sqlx::types::Json<Address>,
    total_minor: i64,
    currency: String,
    cancel_reason: String,
    version: i64,
    placed_at: OffsetDateTime,
    skus: Vec<String>,
    quantities: Vec<i32>,
    titles: Vec<String>,
    units_minor: Vec<i64>,
}

/// An order with its lines, in one row. `FOR UPDATE OF o` may follow. Columns are named: a prepared statement must not change its result when a
/// column is added while it is in use.
macro_rules! select {
    ($lock:literal) => {
        concat!(
            "SELECT o.order_id, o.session_id, o.state, o.course, o.home_region, o.payment_token, o.address, o.total_minor, o.currency,
                 o.cancel_reason, o.version, o.placed_at, l.skus, l.quantities, l.titles, l.units_minor
             FROM orders o, LATERAL (
                 SELECT coalesce(array_agg(sku ORDER BY line_no), '{}') AS skus, coalesce(array_agg(quantity ORDER BY line_no), '{}') AS quantities,
                     coalesce(array_agg(title ORDER BY line_no), '{}') AS titles, coalesce(array_agg(unit_minor ORDER BY line_no), '{}') AS units_minor
                 FROM order_lines WHERE order_id = o.order_id
             ) l WHERE o.order_id = $1 ",
            $lock
        )
    };
}

/// Claims the key. Whoever comes while the first is still running waits for it, as long as a lock may be waited for.
async fn claim_in(tx: &mut PgConnection, scope: &str, key: &str, hash: &[u8]) -> Result<Claim, Error> {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    idempotency::claim_in(tx, scope, key, hash).await.map_err(|error| {
        let is_busy = error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == LOCK_NOT_AVAILABLE);
        if is_busy { Error::KeyBusy } else { error.into() }
    })
}

/// What a shopper wants of an order that there is.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) order: OrderId,
    pub(crate) session: SessionId,
    pub(crate) key: IdempotencyKey,
    pub(crate) what: Wanted,
}

/// What can be wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// That it ends cancelled.
    Cancel,
    /// That it goes back.
    Return,
}

/// What became of a wish.
#[derive(Debug)]
pub(crate) enum Granted {
    /// It is stored, now or under another key; the answer is kept for repeats.
    New(Vec<u8>),
    /// This key had been answered so.
    Replayed(Vec<u8>),
}

/// Stores a wish, under the lock of the order's row and with the answer that `encode` makes of the order.
pub(crate) async fn wish(pool: &PgPool, wish: Wish, encode: impl Fn(&Stored) -> Vec<u8> + Send) -> Result<Granted, Error> {
    let (verb, command) = match wish.what {
        Wanted::Cancel => ("cancel", Command::RequestCancel),
        Wanted::Return => ("return", Command::RequestReturn),
    };
    let (scope, key) = (format!("{verb}/{}", wish.session), wish.key.to_string());
    let mut tx = pool.begin().await?;
    match claim_in(&mut tx, &scope, &key, wish.order.as_uuid().as_bytes()).await? {
        Claim::Reused => return Err(Error::KeyReused),
        Claim::Replay(answer) => return Ok(Granted::Replayed(answer)),
        Claim::New => {}
    }
    let mut stored = lock_in(&mut tx, wish.order).await?;
    if stored.order.session != wish.session {
        return Err(Error::NotYours);
    }
    if let Some(next) = domain::decide(&stored.order, command)? {
        let home = next.home;
        if let Err(error) = write_in(&mut tx, &next, &[]).await {
            drop(tx);
            let holder = match error {
                Error::Fenced => store::region::held_elsewhere(pool, home).await?,
                _ => None,
            };
            return Err(holder.map_or(error, Error::OtherRegion));
        }
        stored.order = next;
    }
    let answer = encode(&stored);
    idempotency::answer_in(&mut tx, &scope, &key, &answer).await?;
    tx.commit().await.map_err(|error| Error::CommitUnknown(error.into()))?;
    Ok(Granted::New(answer))
}

/// Reads an order of either region.
pub(crate) async fn get(pool: &PgPool, id: OrderId) -> Result<Stored, Error> {
    let row: Option<OrderRow> = sqlx::query_as(select!("")).bind(id.as_uuid()).fetch_optional(pool).await?;
    row.ok_or(Error::NotFound)?.stored()
}

/// The states that an order has reached, one after the other.
pub(crate) struct Changes(pub(crate) Vec<State>);

/// Applies `commands`, one after the other, and says their events, in one transaction: all or none. What was applied before changes nothing.
pub(crate) async fn apply(pool: &PgPool, id: OrderId, commands: impl IntoIterator<Item = Command>) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    let Changes(states) = apply_in(&mut tx, id, commands).await?;
    tx.commit().await?;
    states.into_iter().for_each(metrics::count);
    Ok(())
}

/// The same within the caller's transaction, which is to be rolled back after an error.
pub(crate) async fn apply_in(tx: &mut PgConnection, id: OrderId, commands: impl IntoIterator<Item = Command>) -> Result<Changes, Error> {
    let before = lock_in(tx, id).await?.order;
    let (mut order, mut states, mut said) = (before.clone(), Vec::new(), Vec::new());
    for command in commands {
        let Some(next) = domain::decide(&order, command)? else { continue };
        if next.state != order.state {
            states.push(next.state);
            said.push(events::of(&next));
        }
        order = next;
    }
    if order != before {
        write_in(tx, &order, &said).await?;
    }
    Ok(Changes(states))
}

async fn lock_in(tx: &mut PgConnection, id: OrderId) -> Result<Stored, Error> {
    let row: Option<OrderRow> = sqlx::query_as(select!("FOR UPDATE OF o")).bind(id.as_uuid()).fetch_optional(tx).await?;
    row.ok_or(Error::NotFound)?.stored()
}

/// What became of an order, and its events in their order.
const WRITE: &str = "
    WITH said AS (
        INSERT INTO outbox (event_id, topic, key, type, payload, traceparent, home)
        SELECT event_id, topic, $1::uuid::text, type, payload, $10, $11
        FROM unnest($6::uuid[], $7::text[], $8::text[], $9::bytea[]) WITH ORDINALITY AS event (event_id, topic, type, payload, number)
        ORDER BY number
    )
    UPDATE orders SET state = $2, course = $3, cancel_reason = $4, version = $5 WHERE order_id = $1";

/// Writes the order, whose row is locked, and says its events.
async fn write_in(tx: &mut PgConnection, order: &Order, said: &[Event]) -> Result<(), Error> {
    sqlx::query(WRITE)
        .bind(order.id.as_uuid())
        .bind(order.state.as_str())
        .bind(order.course.as_str())
        .bind(&order.cancel_reason)
        .bind(order.version.cast_signed())
        .bind(said.iter().map(|event| event.id).collect::<Vec<_>>())
        .bind(said.iter().map(|event| event.topic).collect::<Vec<_>>())
        .bind(said.iter().map(|event| event.kind).collect::<Vec<_>>())
        .bind(said.iter().map(|event| event.payload.as_slice()).collect::<Vec<_>>())
        .bind(telemetry::current_traceparent())
        .bind(order.home.as_str())
        .execute(tx)
        .await?;
    Ok(())
}

impl OrderRow {
    fn stored(self) -> Result<Stored, Error> {
        let row = self;
        let corrupt = |what| Error::Corrupt { order_id: row.order_id, what };
        let currency = row.currency.parse().map_err(|_| corrupt("currency"))?;
        let line = |(((sku, quantity), title), unit_minor): (((String, i32), String), i64)| {
            Ok(Line {
                sku: sku.parse().map_err(|_| corrupt("sku"))?,
                quantity: u32::try_from(quantity).map_err(|_| corrupt("quantity"))?,
                title,
                unit_price: Money::new(unit_minor, currency),
            })
        };
        let lines = row.skus.into_iter().zip(row.quantities).zip(row.titles).zip(row.units_minor).map(line);
        let order = Order {
            id: OrderId::from_uuid(row.order_id),
            session: row.session_id.parse().map_err(|_| corrupt("session_id"))?,
            state: State::of(&row.state).ok_or_else(|| corrupt("state"))?,
            course: Course::of(&row.course).ok_or_else(|| corrupt("course"))?,
            home: row.home_region.parse().map_err(|_| corrupt("home_region"))?,
            lines: lines.collect::<Result<_, Error>>()?,
            total: Money::new(row.total_minor, currency),
            payment_token: row.payment_token,
            address: row.address.0,
            cancel_reason: row.cancel_reason,
            version: row.version.cast_unsigned(),
        };
        Ok(Stored { order, placed_at: row.placed_at })
    }
}
