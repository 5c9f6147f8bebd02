//! Reserves of orders that come at the same time: one transaction for all of them ([`store::Together`]), so that those who want the same SKU do
//! not wait for one another's commits.
//!
//! The locks are those of [`super::reservations`]: the orders first, in order of their ids, then stock rows in SKU order. An order that was decided
//! before, and every order of a batch that fails, is tried alone. Orders of one home come together. An order's row is written when it is decided: the
//! other region hears of no row that is gone again.

use std::{
    collections::{BTreeMap, HashSet},
    mem,
};

use futures::future::join_all;
use ids::{OrderId, Region, Sku};
use sqlx::{PgConnection, PgPool};
use store::{Batch, Together, outbox};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::{
    reservations::{self, Applied, Tried, Wish, lock_stock_in},
    rights,
};
use crate::{
    domain::{self, Command, Event, Lines, Refusal, Shelf, State},
    error::Error,
    events,
};

/// Batches under way at once: one is prepared while another is committed.
const TURNS: usize = 2;
/// Most orders of a batch.
const MOST: usize = 64;

/// An order that wants its lines.
#[derive(Debug, Clone)]
struct Asked {
    wish: Wish,
    traceparent: Option<String>,
    span: Span,
}

type Answer = Result<Tried, Error>;
type Waiting = store::Waiting<Asked, Answer>;

/// Reserves for orders that come together. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Reserver {
    pool: PgPool,
    /// By home.
    together: [Together<Asked, Answer>; 2],
}

/// What was decided for an order of a batch.
enum Decided {
    Reserved(Lines),
    Refused(Refusal),
    /// Nothing yet.
    Short(Vec<Sku>),
}

impl Reserver {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool, together: Region::ALL.map(|_| Together::new(TURNS, MOST)) }
    }

    /// As [`reservations::try_to_reserve`].
    pub(crate) async fn try_to_reserve(&self, wish: Wish) -> Answer {
        let home = wish.home;
        let asked = Asked { wish, traceparent: telemetry::current_traceparent(), span: Span::current() };
        let reserver = self.clone();
        let answer = self.together[home as usize].ask(asked, move |batch| reserver.batch(home, batch)).await;
        // A repeat of the call finds out what became of it.
        answer.unwrap_or_else(|| Err(Error::Database(sqlx::Error::WorkerCrashed)))
    }

    async fn batch(self, home: Region, Batch { mut waiting, turn }: Batch<Asked, Answer>) {
        if waiting.is_empty() {
            return;
        }
        waiting.sort_by_key(|one| one.asked.wish.id);
        let (mut together, mut alone): (Vec<Waiting>, Vec<Waiting>) = (Vec::with_capacity(waiting.len()), Vec::new());
        for one in waiting {
            let is_repeat = together.last().is_some_and(|last| last.asked.wish.id == one.asked.wish.id);
            if is_repeat { alone.push(one) } else { together.push(one) }
        }
        // A batch of one keeps its turn too: what comes meanwhile shall come together.
        match self.reserve(home, together.iter().map(|one| &one.asked).collect()).await {
            Ok(mut decided) => {
                for one in together {
                    match decided.remove(&one.asked.wish.id) {
                        Some(Decided::Reserved(lines)) => {
                            let events = vec![Event::Reserved(lines)];
                            one.answer(Ok(Tried::Applied(Applied { state: State::Reserved, events })));
                        }
                        Some(Decided::Refused(refusal)) => one.answer(Err(refusal.into())),
                        Some(Decided::Short(skus)) => one.answer(Ok(Tried::Short(skus))),
                        None => alone.push(one),
                    }
                }
            }
            Err(Error::Fenced) => together.into_iter().for_each(|one| one.answer(Err(Error::Fenced))),
            Err(error) => {
                tracing::debug!(%error, orders = together.len(), "orders that came together are tried one by one");
                alone.append(&mut together);
            }
        }
        drop(turn);
        let alone = alone.into_iter().map(|mut one| async {
            let Asked { wish, span, .. } = one.asked.clone();
            let trying = reservations::try_to_reserve(&self.pool, wish).instrument(span);
            tokio::select! {
                answer = trying => one.answer(answer),
                () = one.given_up() => {}
            }
        });
        join_all(alone).await;
    }

    /// Decides on a batch, in order of the ids. Orders that were decided before are not among the answers.
    async fn reserve(&self, home: Region, batch: Vec<&Asked>) -> Result<BTreeMap<OrderId, Decided>, Error> {
        let mut tx = self.pool.begin().await?;
        let known = lock_in(&mut tx, &batch).await?;
        let batch: Vec<&Asked> = batch.into_iter().filter(|asked| !known.contains(&asked.wish.id.as_uuid())).collect();
        let wanted: Lines = batch.iter().flat_map(|asked| asked.wish.lines.iter()).map(|(sku, quantity)| (sku.clone(), quantity)).collect();
        let mut shelf = Shelf { reservation: None, stock: lock_stock_in(&mut tx, home, &wanted).await? };
        let mut decided = BTreeMap::new();
        let mut short: HashSet<Sku> = HashSet::new();
        let mut has_peer = false;
        for Asked { wish, .. } in &batch {
            has_peer |= wish.has_peer;
            let decision = match domain::decide(&shelf, Command::Reserve(wish.lines.clone())) {
                Ok(_) => {
                    shelf = domain::apply(mem::take(&mut shelf), &Event::Reserved(wish.lines.clone()));
                    shelf.reservation = None;
                    Decided::Reserved(wish.lines.clone())
                }
                Err(Refusal::OutOfStock(skus)) if wish.may_wait => {
                    short.extend(skus.iter().cloned());
                    Decided::Short(skus)
                }
                Err(refusal) => Decided::Refused(refusal),
            };
            decided.insert(wish.id, decision);
        }
        if !short.is_empty() {
            let hopeless = rights::hopeless_in(&mut tx, home, &short.into_iter().collect::<Vec<_>>(), has_peer).await?;
            for decision in decided.values_mut() {
                if let Decided::Short(skus) = decision
                    && skus.iter().any(|sku| hopeless.contains(sku))
                {
                    *decision = Decided::Refused(Refusal::OutOfStock(mem::take(skus)));
                }
            }
        }
        write_in(&mut tx, home, &batch, &decided).await?;
        tx.commit().await?;
        Ok(decided)
    }
}

/// Locks the orders, and tells those that have a row.
async fn lock_in(tx: &mut PgConnection, batch: &[&Asked]) -> Result<HashSet<Uuid>, Error> {
    let ids: Vec<Uuid> = batch.iter().map(|asked| asked.wish.id.as_uuid()).collect();
    sqlx::query(
        "WITH patience AS MATERIALIZED (SELECT set_config('lock_timeout', '100ms', true))
         SELECT pg_advisory_xact_lock(hashtextextended('order ' || id, 0)) FROM patience, unnest($1::uuid[]) AS asked (id)",
    )
    .bind(&ids)
    .execute(&mut *tx)
    .await?;
    // Stock rows are held for no longer than another batch takes, and are worth the wait. A row that is held longer must not hold up those who
    // want others: its orders wait for it alone.
    let known: Vec<Uuid> = sqlx::query_scalar(
        "SELECT ARRAY(SELECT order_id FROM reservations WHERE order_id = ANY($1)), set_config('lock_timeout', '500ms', true)",
    )
    .bind(&ids)
    .fetch_one(tx)
    .await?;
    Ok(known.into_iter().collect())
}

/// All that was decided. Orders that are short keep nothing.
const WRITE: &str = "
    WITH decided AS (
        INSERT INTO reservations (order_id, home, state, version, refused, refused_skus)
        SELECT order_id, $14, state, 1, refused, string_to_array(refused_skus, ',')
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS decided (order_id, state, refused, refused_skus)
    ), line AS (
        SELECT * FROM unnest($5::uuid[], $6::text[], $7::bigint[]) AS line (order_id, sku, quantity)
    ), kept AS (
        INSERT INTO reservation_lines (order_id, home, sku, quantity) SELECT order_id, $14, sku, quantity FROM line
    ), moved AS (
        UPDATE stock SET on_hand = on_hand - taken.quantity, reserved = reserved + taken.quantity
        FROM (SELECT sku, sum(quantity)::bigint AS quantity FROM line GROUP BY sku) AS taken WHERE stock.home = $14 AND stock.sku = taken.sku
    )
    INSERT INTO outbox (event_id, topic, key, type, payload, traceparent, home)
    SELECT event_id, $8, key, type, payload, traceparent, $14
    FROM unnest($9::uuid[], $10::text[], $11::text[], $12::bytea[], $13::text[]) AS event (event_id, key, type, payload, traceparent)";

async fn write_in(tx: &mut PgConnection, home: Region, batch: &[&Asked], decided: &BTreeMap<OrderId, Decided>) -> Result<(), Error> {
    let (mut orders, mut states, mut refusals, mut refused_skus) = (vec![], vec![], vec![], vec![]);
    let (mut owners, mut skus, mut quantities) = (vec![], vec![], vec![]);
    let (mut said, mut traces): (Vec<outbox::Event>, Vec<Option<&str>>) = (vec![], vec![]);
    for asked in batch {
        let id = asked.wish.id;
        let (event, refusal) = match decided.get(&id) {
            Some(Decided::Reserved(lines)) => (Event::Reserved(lines.clone()), None),
            Some(Decided::Refused(refusal)) => (Event::Released(Lines::default()), Some(refusal)),
            Some(Decided::Short(_)) | None => continue,
        };
        orders.push(id.as_uuid());
        states.push(event.state().as_str());
        let (why, of) = refusal.and_then(reservations::kept_of).unzip();
        refusals.push(why);
        refused_skus.push(of.map(|skus| skus.iter().map(Sku::as_str).collect::<Vec<_>>().join(",")));
        for (sku, quantity) in event.lines().iter() {
            owners.push(id.as_uuid());
            skus.push(sku.to_string());
            quantities.push(i64::from(quantity));
        }
        said.push(events::of_reservation(id, &event, 1));
        traces.push(asked.traceparent.as_deref());
    }
    sqlx::query(WRITE)
        .bind(orders)
        .bind(states)
        .bind(refusals)
        .bind(refused_skus)
        .bind(owners)
        .bind(skus)
        .bind(quantities)
        .bind(spine::topics::INVENTORY_EVENTS)
        .bind(said.iter().map(|event| event.id).collect::<Vec<_>>())
        .bind(said.iter().map(|event| event.key.as_str()).collect::<Vec<_>>())
        .bind(said.iter().map(|event| event.kind).collect::<Vec<_>>())
        .bind(said.iter().map(|event| event.payload.as_slice()).collect::<Vec<_>>())
        .bind(traces)
        .bind(home.as_str())
        .execute(tx)
        .await?;
    Ok(())
}
