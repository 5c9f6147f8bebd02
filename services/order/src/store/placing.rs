//! Accepts orders: those that come at the same time share one statement and one commit ([`store::Together`]). A batch that fails is tried again
//! order by order, so that one order cannot spoil another.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use futures::future::join_all;
use ids::{OrderId, Region};
use sha2::{Digest as _, Sha256};
use sqlx::{PgPool, types::Json};
use store::{Batch, Together, outbox::Event};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Stored;
use crate::{
    domain::{self, Order, Request},
    error::Error,
    metrics,
};

/// Batches under way at once: enough that one is prepared while another is committed.
const TURNS: usize = 2;
/// Most orders of a batch.
const MOST: usize = 128;
/// A batch of so many shows that orders come faster than they can be stored one by one, for so many milliseconds.
const MANY: usize = 8;
const LASTS: u64 = 200;

/// How long a batch waits for a key that another transaction holds, and how long an order that is alone does, as
/// [`store::idempotency::claim_in`] has it.
const PATIENCE: [&str; 2] = ["100ms", "2s"];

/// All of a batch: the keys that are new, and for those the order with its lines and its event.
const ACCEPT: &str = "
    WITH asked AS (
        SELECT a.* FROM set_config('lock_timeout', $22, true),
            unnest($1::text[], $2::text[], $3::bytea[], $4::uuid[], $5::text[], $6::text[], $7::jsonb[], $8::bigint[], $9::text[], $10::uuid[],
                   $11::bytea[], $12::text[])
            AS a (scope, key, request_hash, order_id, session_id, payment_token, address, total_minor, currency, event_id, payload, traceparent)
    ), claimed AS (
        INSERT INTO idempotency_keys (scope, key, request_hash, response)
        SELECT scope, key, request_hash, uuid_send(order_id) FROM asked ON CONFLICT DO NOTHING RETURNING scope, key
    ), accepted AS (
        SELECT asked.* FROM asked JOIN claimed USING (scope, key)
    ), lines AS (
        INSERT INTO order_lines (order_id, line_no, sku, quantity, title, unit_minor)
        SELECT line.* FROM unnest($13::uuid[], $14::int[], $15::text[], $16::int[], $17::text[], $18::bigint[])
            AS line (order_id, line_no, sku, quantity, title, unit_minor)
        JOIN accepted USING (order_id)
    ), said AS (
        INSERT INTO outbox (event_id, topic, key, type, payload, traceparent, home)
        SELECT event_id, $19, order_id::text, $20, payload, traceparent, $21 FROM accepted
    )
    INSERT INTO orders (order_id, session_id, state, home_region, payment_token, address, total_minor, currency, version)
    SELECT order_id, session_id, 'placed', $21, payment_token, address, total_minor, currency, 1 FROM accepted
    RETURNING order_id, placed_at";

/// What became of a `PlaceOrder`.
#[derive(Debug)]
pub(crate) enum Placed {
    /// Accepted now.
    New(Box<Stored>),
    /// This key had been answered with that order.
    Replayed(OrderId),
}

/// An order that would be accepted, and what its key is to remember.
struct Asked {
    scope: String,
    key: String,
    hash: Vec<u8>,
    order: Order,
    traceparent: Option<String>,
}

impl Asked {
    fn key(&self) -> (&str, &str) {
        (&self.scope, &self.key)
    }
}

type Waiting = store::Waiting<Asked, Result<Placed, Error>>;

/// Accepts orders. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Placer {
    pool: PgPool,
    home: Region,
    together: Together<Asked, Result<Placed, Error>>,
    pressure: Pressure,
    /// The event that tells of an accepted order.
    say: fn(&Order) -> Event,
}

impl Placer {
    /// A placer of orders that are owned by `home`, each told of by `say`.
    pub(crate) fn new(pool: PgPool, home: Region, say: fn(&Order) -> Event) -> Self {
        Self { pool, home, together: Together::new(TURNS, MOST), pressure: Pressure::none(), say }
    }

    /// For those whose work can wait while orders come in.
    pub(crate) fn pressure(&self) -> Pressure {
        self.pressure.clone()
    }

    /// Accepts an order, or finds the one that this key made before.
    pub(crate) async fn place(&self, request: Request) -> Result<Placed, Error> {
        let (scope, key) = (format!("place/{}", request.session), request.key.to_string());
        let hash = request_hash(&request);
        let order = match domain::place(OrderId::from_uuid(Uuid::now_v7()), self.home, request) {
            Ok(order) => order,
            // What cannot be ordered now may have been then: the first order of a cart has emptied it.
            Err(refusal) => return self.replay(&scope, &key, &hash).await?.ok_or(Error::Refused(refusal)),
        };
        let asked = Asked { scope, key, hash, order, traceparent: telemetry::current_traceparent() };
        let placer = self.clone();
        let answer = self.together.ask(asked, move |batch| placer.batch(batch)).await;
        // A batch that panicked drops its answers; whether it was stored is not known then.
        answer.unwrap_or_else(|| Err(Error::CommitUnknown(Arc::new(sqlx::Error::WorkerCrashed))))
    }

    /// Answers a batch, and ends its turn.
    async fn batch(self, Batch { waiting: mut batch, turn }: Batch<Asked, Result<Placed, Error>>) {
        // In one order everywhere, so that no two batches wait for each other's keys.
        batch.sort_by(|a, b| a.asked.key().cmp(&b.asked.key()));
        let mut alone = Vec::new();
        let mut together: Vec<Waiting> = Vec::with_capacity(batch.len());
        for one in batch {
            let is_repeat = together.last().is_some_and(|last| last.asked.key() == one.asked.key());
            if is_repeat { alone.push(one) } else { together.push(one) }
        }
        alone.extend(self.answer(together).await);
        drop(turn);
        join_all(alone.into_iter().map(|one| self.answer(vec![one]))).await;
    }

    /// Answers orders that come together; those that it leaves are to be tried alone.
    async fn answer(&self, batch: Vec<Waiting>) -> Vec<Waiting> {
        if batch.is_empty() {
            return batch;
        }
        metrics::batch(batch.len());
        self.pressure.note(batch.len());
        let asked: Vec<&Asked> = batch.iter().map(|one| &one.asked).collect();
        match self.accept(&asked).await {
            Ok(accepted) => {
                let one = async |one: Waiting| {
                    let asked = &one.asked;
                    let placed = match accepted.get(&asked.order.id.as_uuid()) {
                        Some(&placed_at) => Ok(Placed::New(Box::new(Stored { order: asked.order.clone(), placed_at }))),
                        // No key any more: it went between the two statements, since keys are kept for a day only.
                        None => self.replay(&asked.scope, &asked.key, &asked.hash).await.and_then(|placed| placed.ok_or(Error::KeyBusy)),
                    };
                    one.answer(placed);
                };
                join_all(batch.into_iter().map(one)).await;
            }
            Err(Failed::Undone(error)) if batch.len() > 1 => {
                tracing::debug!(%error, orders = batch.len(), "orders that came together are tried one by one");
                return batch;
            }
            Err(failed) => batch.into_iter().for_each(|one| one.answer(Err(failed.error()))),
        }
        Vec::new()
    }

    /// Those of `batch` whose keys are new, stored, and when each was.
    async fn accept(&self, batch: &[&Asked]) -> Result<HashMap<Uuid, OffsetDateTime>, Failed> {
        let mut connection = self.pool.acquire().await.map_err(|error| Failed::Unreached(Arc::new(error)))?;
        let column = |of: fn(&Asked) -> String| batch.iter().map(|asked| of(asked)).collect::<Vec<_>>();
        let said: Vec<Event> = batch.iter().map(|asked| (self.say)(&asked.order)).collect();
        let lines =
            || batch.iter().flat_map(|asked| asked.order.lines.iter().zip(1_i32..).map(|(line, number)| (&asked.order, number, line)));
        let rows: Vec<(Uuid, OffsetDateTime)> = sqlx::query_as(ACCEPT)
            .bind(column(|asked| asked.scope.clone()))
            .bind(column(|asked| asked.key.clone()))
            .bind(batch.iter().map(|asked| asked.hash.clone()).collect::<Vec<_>>())
            .bind(batch.iter().map(|asked| asked.order.id.as_uuid()).collect::<Vec<_>>())
            .bind(column(|asked| asked.order.session.to_string()))
            .bind(column(|asked| asked.order.payment_token.clone()))
            .bind(batch.iter().map(|asked| Json(&asked.order.address)).collect::<Vec<_>>())
            .bind(batch.iter().map(|asked| asked.order.total.amount_minor).collect::<Vec<_>>())
            .bind(column(|asked| asked.order.total.currency.to_string()))
            .bind(said.iter().map(|event| event.id).collect::<Vec<_>>())
            .bind(said.iter().map(|event| event.payload.as_slice()).collect::<Vec<_>>())
            .bind(batch.iter().map(|asked| asked.traceparent.clone()).collect::<Vec<_>>())
            .bind(lines().map(|(order, ..)| order.id.as_uuid()).collect::<Vec<_>>())
            .bind(lines().map(|(_, number, _)| number).collect::<Vec<_>>())
            .bind(lines().map(|(.., line)| line.sku.to_string()).collect::<Vec<_>>())
            .bind(lines().map(|(.., line)| line.quantity.cast_signed()).collect::<Vec<_>>())
            .bind(lines().map(|(.., line)| line.title.clone()).collect::<Vec<_>>())
            .bind(lines().map(|(.., line)| line.unit_price.amount_minor).collect::<Vec<_>>())
            .bind(said[0].topic)
            .bind(said[0].kind)
            .bind(self.home.as_str())
            .bind(PATIENCE[usize::from(batch.len() == 1)])
            .fetch_all(&mut *connection)
            .await
            .map_err(|error| {
                if error.as_database_error().is_some() { Failed::Undone(Arc::new(error)) } else { Failed::Unknown(Arc::new(error)) }
            })?;
        Ok(rows.into_iter().collect())
    }

    /// What the key was answered with before; `None` when it is new.
    async fn replay(&self, scope: &str, key: &str, request_hash: &[u8]) -> Result<Option<Placed>, Error> {
        let found: Option<(Vec<u8>, Option<Vec<u8>>)> =
            sqlx::query_as("SELECT request_hash, response FROM idempotency_keys WHERE scope = $1 AND key = $2")
                .bind(scope)
                .bind(key)
                .fetch_optional(&self.pool)
                .await?;
        let Some((hash, response)) = found else { return Ok(None) };
        if hash != request_hash {
            return Err(Error::KeyReused);
        }
        let id = response.and_then(|answer| Uuid::from_slice(&answer).ok());
        id.map(|id| Some(Placed::Replayed(OrderId::from_uuid(id))))
            .ok_or_else(|| Error::Malformed("the stored answer is no order id".to_owned()))
    }
}

/// Whether more orders come than can be stored at once. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pressure {
    since: Instant,
    /// Milliseconds after `since`.
    until: Arc<AtomicU64>,
}

impl Pressure {
    fn none() -> Self {
        Self { since: Instant::now(), until: Arc::default() }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes that so many orders came at once.
    fn note(&self, orders: usize) {
        if orders >= MANY {
            self.until.store(self.now() + LASTS, Ordering::Relaxed);
        }
    }

    /// True while orders come many at a time.
    pub(crate) fn is_high(&self) -> bool {
        self.now() < self.until.load(Ordering::Relaxed)
    }
}

/// Why a batch was not accepted.
enum Failed {
    /// The server was not reached.
    Unreached(Arc<sqlx::Error>),
    /// The server said no, and undid it.
    Undone(Arc<sqlx::Error>),
    /// The server's answer was lost.
    Unknown(Arc<sqlx::Error>),
}

impl Failed {
    fn error(&self) -> Error {
        const LOCK_NOT_AVAILABLE: &str = "55P03";
        match self {
            Self::Undone(error)
                if error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == LOCK_NOT_AVAILABLE) =>
            {
                Error::KeyBusy
            }
            Self::Undone(error) if store::region::is_fenced(error) => Error::Fenced,
            Self::Unreached(error) | Self::Undone(error) => Error::Database(error.clone()),
            Self::Unknown(error) => Error::CommitUnknown(error.clone()),
        }
    }
}

/// The part of a request that a repeat must share: who pays, where it goes, and what was asked for. Prices are the shop's, not the caller's.
/// Lines of a cart are no part of it: the first order emptied the cart.
fn request_hash(request: &Request) -> Vec<u8> {
    let address = serde_json::to_vec(&request.address).expect("an address is plain text");
    let mut hash = Sha256::new().chain_update(request.payment_token.as_bytes()).chain_update([0]).chain_update(address);
    if !request.from_cart {
        let mut lines: Vec<String> = request.lines.iter().map(|line| format!("\0{} {}", line.quantity, line.sku)).collect();
        lines.sort_unstable();
        lines.iter().for_each(|line| hash.update(line.as_bytes()));
    }
    hash.finalize().to_vec()
}
