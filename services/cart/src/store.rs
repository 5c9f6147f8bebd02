//! Carts in PostgreSQL. Every change commits with its event and, where one was given, its idempotency key.

mod digest;
mod replica;

use std::collections::{HashMap, HashSet};

use crdt::{
    ReplicaId,
    codec::{Limits, Wire as _},
};
use ids::{IdempotencyKey, OrderId, SessionId, Sku};
use prost::Message as _;
use proto::{cart::v1 as wire, events::cart::v1::KeyedAnswer};
use sqlx::{PgConnection, PgPool};
use store::{
    idempotency::{self, Answered, Claim},
    inbox, outbox,
};

pub(crate) use self::{
    digest::{digests, list},
    replica::{convert, replica},
};
use crate::{
    domain::{self, Cart, Command, Event},
    error::Error,
    events,
};

/// Under this name the inbox knows which orders have left their cart.
const CHECK_OUT: &str = "check out";

/// Where carts are kept, and the name under which they are changed there. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Carts {
    pub(crate) pool: PgPool,
    pub(crate) replica: ReplicaId,
}

/// Whoever wants a cart waits for its lock no longer than its caller does for the answer.
const LOCK: &str = "
    WITH patience AS (SELECT set_config('lock_timeout', '2s', true))
    SELECT cart_id, version, state FROM carts, patience WHERE cart_id = ANY($1::text[]) ORDER BY cart_id FOR UPDATE OF carts";

/// All that changes with one cart. Without an event only the key is written, and without a key the rest.
const CHANGE: &str = "
    WITH keyed AS (
        INSERT INTO idempotency_keys (scope, key, request_hash, response)
        SELECT $1, $2, $3, $4 WHERE $2 IS NOT NULL ON CONFLICT DO NOTHING RETURNING key
    ), changed AS (
        UPDATE carts SET version = $6, state = $7, changed_at = now() WHERE cart_id = $5 AND $8::uuid IS NOT NULL
    ), told AS (
        INSERT INTO outbox (event_id, topic, key, type, payload, traceparent)
        SELECT $8, $9, $10, $11, $12, $13 WHERE $8 IS NOT NULL
    )
    SELECT $2 IS NULL OR EXISTS (SELECT FROM keyed)";

/// A key with the hash of the request it names.
#[derive(Debug)]
pub(crate) struct Keyed {
    pub(crate) key: IdempotencyKey,
    pub(crate) request_hash: Vec<u8>,
}

/// Where a cart stands in this region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) id: SessionId,
    pub(crate) version: u64,
}

impl From<&Cart> for Stand {
    fn from(cart: &Cart) -> Self {
        Self { id: cart.id.clone(), version: cart.version }
    }
}

/// What a caller gets.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) cart: wire::Cart,
    pub(crate) stand: Stand,
    /// What happened; nothing when there was nothing to do.
    pub(crate) event: Option<Event>,
}

/// What an order took.
#[derive(Debug)]
pub(crate) struct Bought {
    /// Whose cart.
    pub(crate) id: SessionId,
    pub(crate) order_id: OrderId,
    pub(crate) lines: Vec<(Sku, u32)>,
}

/// What the other region changed.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) id: SessionId,
    pub(crate) delta: crdt::Cart,
    /// The order that was checked out, if that was the change.
    pub(crate) order_id: Option<OrderId>,
    /// What it said under a key.
    pub(crate) answer: Option<KeyedAnswer>,
}

impl Carts {
    /// Reads a cart.
    pub(crate) async fn get(&self, id: SessionId) -> Result<Cart, Error> {
        let row = sqlx::query_as("SELECT version, state FROM carts WHERE cart_id = $1").bind(id.as_str());
        let row: Option<Row> = row.fetch_optional(&self.pool).await?;
        row.map_or_else(|| Ok(Cart::empty(id.clone())), |row| row.read(id.clone()))
    }

    /// Applies a shopper's command. A repeat under the same key gets the first answer.
    ///
    /// A cart's keys are written by whoever has locked it. What is usual costs two statements; whether a key was used before is only asked when
    /// there is nothing to do, or when it turns out that it was.
    pub(crate) async fn apply(&self, id: SessionId, command: Command, keyed: Option<Keyed>) -> Result<Changed, Error> {
        let mut tx = self.pool.begin().await?;
        let mut cart = lock_or_make_in(&mut tx, id.clone(), matches!(command, Command::SetLine { .. } | Command::Absorb { .. })).await?;
        let decided = domain::decide(&cart, command);
        if !matches!(decided, Ok(Some(_)))
            && let Some(changed) = replayed_in(&mut tx, &id, keyed.as_ref()).await?
        {
            return Ok(changed);
        }
        let event = decided?;
        let delta = event.as_ref().map(|event| domain::apply(&mut cart, self.replica, event));
        let answer = events::cart(&cart);
        let answered = keyed.as_ref().map(|Keyed { key, request_hash }| KeyedAnswer {
            key: key.to_string(),
            request_hash: request_hash.clone(),
            response: answer.encode_to_vec(),
        });
        let told = event.as_ref().zip(delta.as_ref()).map(|(event, delta)| events::of(&cart, event, delta, answered.clone()));
        if !changed_in(&mut tx, &cart, answered.as_ref(), told.as_ref()).await? {
            tx.rollback().await?;
            let replayed = replayed_in(&mut *self.pool.acquire().await?, &id, keyed.as_ref()).await?;
            return replayed.ok_or_else(|| Error::Answer(id.to_string()));
        }
        tx.commit().await?;
        Ok(Changed { cart: answer, stand: Stand::from(&cart), event })
    }

    /// Takes what an order bought out of the cart, once for each order, whoever asks first.
    pub(crate) async fn check_out(&self, bought: Bought) -> Result<Changed, Error> {
        let mut tx = self.pool.begin().await?;
        let id = bought.id.clone();
        let event = self.check_out_all_in(&mut tx, vec![bought]).await?.pop().map(|(_, event)| event);
        tx.commit().await?;
        let cart = self.get(id).await?;
        Ok(Changed { cart: events::cart(&cart), stand: Stand::from(&cart), event })
    }

    /// The same of several orders within the caller's transaction; nothing for those whose order was there before, or that have no cart.
    pub(crate) async fn check_out_all_in(&self, tx: &mut PgConnection, mut bought: Vec<Bought>) -> Result<Vec<(Stand, Event)>, Error> {
        let new = note_in(tx, bought.iter().map(|bought| bought.order_id)).await?;
        bought.retain(|bought| new.contains(&bought.order_id));
        let mut carts = lock_all_in(tx, bought.iter().map(|bought| &bought.id)).await?;
        let mut happened = Vec::new();
        for Bought { id, order_id, lines } in bought {
            let Some(cart) = carts.get_mut(&id) else { continue };
            let Some(event) = domain::decide(cart, Command::CheckOut { order_id, lines })? else { continue };
            let delta = domain::apply(cart, self.replica, &event);
            outbox::append_in(tx, &events::of(cart, &event, &delta, None), None).await?;
            happened.push((Stand::from(&*cart), event));
        }
        if !happened.is_empty() {
            write_in(tx, &carts.values().collect::<Vec<_>>()).await?;
        }
        Ok(happened)
    }
}

/// Takes in what the other region changed, within the caller's transaction. Those carts that are other than before.
pub(crate) async fn merge_in(tx: &mut PgConnection, told: Vec<Told>) -> Result<Vec<Stand>, Error> {
    let answered = told.iter().filter_map(|told| {
        let KeyedAnswer { key, request_hash, response } = told.answer.clone()?;
        Some(Answered { scope: scope(&told.id), key, request_hash, response })
    });
    // An order leaves its cart once, in whichever region.
    note_in(tx, told.iter().filter_map(|told| told.order_id)).await?;
    make_in(tx, told.iter().map(|told| &told.id)).await?;
    let mut carts = lock_all_in(tx, told.iter().map(|told| &told.id)).await?;
    idempotency::take_over_in(tx, answered.collect()).await?;
    let mut news = HashSet::new();
    for Told { id, delta, .. } in &told {
        if carts.get_mut(id).is_some_and(|cart| cart.merge(delta)) {
            news.insert(id);
        }
    }
    let changed: Vec<&Cart> = carts.values().filter(|cart| news.contains(&cart.id)).collect();
    write_in(tx, &changed).await?;
    Ok(changed.into_iter().map(Stand::from).collect())
}

/// The name of a cart's idempotency keys.
fn scope(id: &SessionId) -> String {
    format!("cart/{id}")
}

/// Notes that these orders have left their carts; those of which that is new.
async fn note_in(tx: &mut PgConnection, orders: impl Iterator<Item = OrderId>) -> Result<HashSet<OrderId>, Error> {
    let orders: Vec<_> = orders.map(OrderId::as_uuid).collect();
    if orders.is_empty() {
        return Ok(HashSet::new());
    }
    Ok(inbox::note_in(tx, CHECK_OUT, &orders).await?.into_iter().map(OrderId::from_uuid).collect())
}

/// A cart as it is kept.
#[derive(Debug, sqlx::FromRow)]
struct Row {
    version: i64,
    state: Option<Vec<u8>>,
}

impl Row {
    fn read(self, id: SessionId) -> Result<Cart, Error> {
        let state = match &self.state {
            Some(state) => {
                crdt::Cart::decode(state, Limits::default()).map_err(|error| Error::Corrupt { cart_id: id.to_string(), error })?
            }
            None => crdt::Cart::new(),
        };
        Ok(Cart { id, state, version: self.version.cast_unsigned() })
    }
}

/// Locks a cart. One that is not there is made first if `is_made`, and is empty otherwise.
async fn lock_or_make_in(tx: &mut PgConnection, id: SessionId, is_made: bool) -> Result<Cart, Error> {
    let mut cart = lock_all_in(tx, [&id].into_iter()).await?.remove(&id);
    if cart.is_none() && is_made {
        make_in(tx, [&id].into_iter()).await?;
        // Another call may have made it a moment ago.
        cart = lock_all_in(tx, [&id].into_iter()).await?.remove(&id);
    }
    Ok(cart.unwrap_or_else(|| Cart::empty(id)))
}

/// Ids in one order everywhere, so that no two transactions wait for each other's carts.
fn sorted<'a>(ids: impl Iterator<Item = &'a SessionId>) -> Vec<&'a str> {
    let mut ids: Vec<&str> = ids.map(SessionId::as_str).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Makes the carts that are not there.
async fn make_in<'a>(tx: &mut PgConnection, ids: impl Iterator<Item = &'a SessionId>) -> Result<(), Error> {
    let make = sqlx::query("INSERT INTO carts (cart_id, version) SELECT id, 0 FROM unnest($1::text[]) AS id ON CONFLICT DO NOTHING");
    make.bind(sorted(ids)).execute(tx).await?;
    Ok(())
}

/// Locks those of the carts that are there.
async fn lock_all_in<'a>(tx: &mut PgConnection, ids: impl Iterator<Item = &'a SessionId>) -> Result<HashMap<SessionId, Cart>, Error> {
    #[derive(sqlx::FromRow)]
    struct Found {
        cart_id: String,
        #[sqlx(flatten)]
        row: Row,
    }
    let found: Vec<Found> = sqlx::query_as(LOCK).bind(sorted(ids)).fetch_all(tx).await?;
    let read = |Found { cart_id, row }| {
        let id: SessionId = cart_id.parse().map_err(|_| Error::Id(cart_id))?;
        Ok((id.clone(), row.read(id)?))
    };
    found.into_iter().map(read).collect()
}

/// What a key was answered before; nothing when there is none, or it is new.
async fn replayed_in(tx: &mut PgConnection, id: &SessionId, keyed: Option<&Keyed>) -> Result<Option<Changed>, Error> {
    let Some(Keyed { key, request_hash }) = keyed else { return Ok(None) };
    match idempotency::find_in(tx, &scope(id), key.as_str(), request_hash).await? {
        Claim::New => Ok(None),
        Claim::Reused => Err(Error::KeyReused),
        Claim::Replay(answer) => {
            let cart = read_answer(id, &answer)?;
            Ok(Some(Changed { stand: Stand { id: id.clone(), version: cart.version }, cart, event: None }))
        }
    }
}

/// Writes one cart whose row is locked, if something happened, and the answer under its key, if there is one. False when the key was used before:
/// then nothing of it may be committed.
async fn changed_in(
    tx: &mut PgConnection,
    cart: &Cart,
    answered: Option<&KeyedAnswer>,
    told: Option<&outbox::Event>,
) -> Result<bool, Error> {
    let is_new = sqlx::query_scalar(CHANGE)
        .bind(scope(&cart.id))
        .bind(answered.map(|answered| &answered.key))
        .bind(answered.map(|answered| &answered.request_hash))
        .bind(answered.map(|answered| &answered.response))
        .bind(cart.id.as_str())
        .bind(cart.version.cast_signed())
        .bind(told.map(|_| cart.state.encode()))
        .bind(told.map(|told| told.id))
        .bind(told.map(|told| told.topic))
        .bind(told.map(|told| &told.key))
        .bind(told.map(|told| told.kind))
        .bind(told.map(|told| &told.payload))
        .bind(telemetry::current_traceparent())
        .fetch_one(tx)
        .await?;
    Ok(is_new)
}

/// Writes carts whose rows are locked.
async fn write_in(tx: &mut PgConnection, carts: &[&Cart]) -> Result<(), Error> {
    if carts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE carts SET version = new.version, state = new.state, changed_at = now()
         FROM unnest($1::text[], $2::bigint[], $3::bytea[]) AS new (cart_id, version, state) WHERE carts.cart_id = new.cart_id",
    )
    .bind(carts.iter().map(|cart| cart.id.as_str()).collect::<Vec<_>>())
    .bind(carts.iter().map(|cart| cart.version.cast_signed()).collect::<Vec<_>>())
    .bind(carts.iter().map(|cart| cart.state.encode()).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

fn read_answer(id: &SessionId, answer: &[u8]) -> Result<wire::Cart, Error> {
    wire::Cart::decode(answer).map_err(|_| Error::Answer(id.to_string()))
}
