//! Reserves of orders that come at the same time: one transaction for all of them ([`store::Together`]), so that those who want the same SKU do
//! not wait for one another's commits.
//!
//! The locks are those of [`super::reservations`]: the orders' rows first, in order of their ids, then stock rows in SKU order. An order that
//! was decided before, and every order of a batch that fails, is tried alone.

use std::{
    collections::{BTreeMap, HashSet},
    mem,
};

use futures::future::join_all;
use ids::{OrderId, Sku};
use sqlx::{PgConnection, PgPool};
use store::{Batch, Together, outbox};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::{
    reservations::{self, Applied, Tried, lock_stock_in},
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
    id: OrderId,
    lines: Lines,
    may_wait: bool,
    traceparent: Option<String>,
    span: Span,
}

type Answer = Result<Tried, Error>;
type Waiting = store::Waiting<Asked, Answer>;

/// Reserves for orders that come together. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Reserver {
    pool: PgPool,
    together: Together<Asked, Answer>,
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
        Self { pool, together: Together::new(TURNS, MOST) }
    }

    /// As [`reservations::try_to_reserve`].
    pub(crate) async fn try_to_reserve(&self, id: OrderId, lines: Lines, may_wait: bool) -> Answer {
        let asked = Asked { id, lines, may_wait, traceparent: telemetry::current_traceparent(), span: Span::current() };
        let reserver = self.clone();
        let answer = self.together.ask(asked, move |batch| reserver.batch(batch)).await;
        // A repeat of the call finds out what became of it.
        answer.unwrap_or_else(|| Err(Error::Database(sqlx::Error::WorkerCrashed)))
    }

    async fn batch(self, Batch { mut waiting, turn }: Batch<Asked, Answer>) {
        if waiting.is_empty() {
            return;
        }
        waiting.sort_by_key(|one| one.asked.id);
        let (mut together, mut alone): (Vec<Waiting>, Vec<Waiting>) = (Vec::with_capacity(waiting.len()), Vec::new());
        for one in waiting {
            let is_repeat = together.last().is_some_and(|last| last.asked.id == one.asked.id);
            if is_repeat { alone.push(one) } else { together.push(one) }
        }
        // A batch of one keeps its turn too: what comes meanwhile shall come together.
        match self.reserve(together.iter().map(|one| &one.asked).collect()).await {
            Ok(mut decided) => {
                for one in together {
                    match decided.remove(&one.asked.id) {
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
            Err(error) => {
                tracing::debug!(%error, orders = together.len(), "orders that came together are tried one by one");
                alone.append(&mut together);
            }
        }
        drop(turn);
        let alone = alone.into_iter().map(|mut one| async {
            let Asked { id, lines, may_wait, span, .. } = one.asked.clone();
            let trying = reservations::try_to_reserve(&self.pool, id, lines, may_wait).instrument(span);
            tokio::select! {
                answer = trying => one.answer(answer),
                () = one.given_up() => {}
            }
        });
        join_all(alone).await;
    }

    /// Decides on a batch, in order of the ids. Orders that were decided before are not among the answers.
    async fn reserve(&self, batch: Vec<&Asked>) -> Result<BTreeMap<OrderId, Decided>, Error> {
        let mut tx = self.pool.begin().await?;
        let new = claim_in(&mut tx, &batch).await?;
        let batch: Vec<&Asked> = batch.into_iter().filter(|asked| new.contains(&asked.id.as_uuid())).collect();
        let wanted: Lines = batch.iter().flat_map(|asked| asked.lines.iter()).map(|(sku, quantity)| (sku.clone(), quantity)).collect();
        let mut shelf = Shelf { reservation: None, stock: lock_stock_in(&mut tx, &wanted).await? };
        let mut decided = BTreeMap::new();
        let mut short: HashSet<Sku> = HashSet::new();
        for asked in &batch {
            let decision = match domain::decide(&shelf, Command::Reserve(asked.lines.clone())) {
                Ok(_) => {
                    shelf = domain::apply(mem::take(&mut shelf), &Event::Reserved(asked.lines.clone()));
                    shelf.reservation = None;
                    Decided::Reserved(asked.lines.clone())
                }
                Err(Refusal::OutOfStock(skus)) if asked.may_wait => {
                    short.extend(skus.iter().cloned());
                    Decided::Short(skus)
                }
                Err(refusal) => Decided::Refused(refusal),
            };
            decided.insert(asked.id, decision);
        }
        if !short.is_empty() {
            let hopeless = rights::hopeless_in(&mut tx, &short.into_iter().collect::<Vec<_>>()).await?;
            for decision in decided.values_mut() {
                if let Decided::Short(skus) = decision
                    && skus.iter().any(|sku| hopeless.contains(sku))
                {
                    *decision = Decided::Refused(Refusal::OutOfStock(mem::take(skus)));
                }
            }
        }
        write_in(&mut tx, &batch, &decided).await?;
        tx.commit().await?;
        Ok(decided)
    }
}

/// Makes the rows of those orders that have none, which holds their locks, and tells which.
async fn claim_in(tx: &mut PgConnection, batch: &[&Asked]) -> Result<HashSet<Uuid>, Error> {
    let claimed: Vec<Uuid> = sqlx::query_scalar(
        "WITH patience AS (SELECT set_config('lock_timeout', '100ms', true))
         INSERT INTO reservations (order_id, state, version) SELECT id, 'released', 0 FROM patience, unnest($1::uuid[]) AS asked (id)
         ON CONFLICT DO NOTHING RETURNING order_id",
    )
    .bind(batch.iter().map(|asked| asked.id.as_uuid()).collect::<Vec<_>>())
    .fetch_all(&mut *tx)
    .await?;
    // Stock rows are held for no longer than another batch takes, and are worth the wait. A row that is held longer must not hold up those who
    // want others: its orders wait for it alone.
    sqlx::query("SELECT set_config('lock_timeout', '500ms', true)").execute(tx).await?;
    Ok(claimed.into_iter().collect())
}

/// All that was decided. Orders that are short keep nothing, not even their row.
const WRITE: &str = "
    WITH decided AS (
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS decided (order_id, state, refused, refused_skus)
    ), line AS (
        SELECT * FROM unnest($5::uuid[], $6::text[], $7::bigint[]) AS line (order_id, sku, quantity)
    ), kept AS (
        INSERT INTO reservation_lines (order_id, sku, quantity) SELECT order_id, sku, quantity FROM line
    ), moved AS (
        UPDATE stock SET on_hand = on_hand - taken.quantity, reserved = reserved + taken.quantity
        FROM (SELECT sku, sum(quantity)::bigint AS quantity FROM line GROUP BY sku) AS taken WHERE stock.sku = taken.sku
    ), said AS (
        INSERT INTO outbox (event_id, topic, key, type, payload, traceparent)
        SELECT event_id, $8, key, type, payload, traceparent
        FROM unnest($9::uuid[], $10::text[], $11::text[], $12::bytea[], $13::text[]) AS event (event_id, key, type, payload, traceparent)
    ), dropped AS (
        DELETE FROM reservations WHERE order_id = ANY($14)
    )
    UPDATE reservations r SET state = d.state, version = 1, refused = d.refused, refused_skus = string_to_array(d.refused_skus, ',')
    FROM decided d WHERE r.order_id = d.order_id";

async fn write_in(tx: &mut PgConnection, batch: &[&Asked], decided: &BTreeMap<OrderId, Decided>) -> Result<(), Error> {
    let (mut orders, mut states, mut refusals, mut refused_skus) = (vec![], vec![], vec![], vec![]);
    let (mut owners, mut skus, mut quantities) = (vec![], vec![], vec![]);
    let (mut said, mut traces, mut short): (Vec<outbox::Event>, Vec<Option<&str>>, Vec<Uuid>) = (vec![], vec![], vec![]);
    for asked in batch {
        let (event, refusal) = match decided.get(&asked.id) {
            Some(Decided::Reserved(lines)) => (Event::Reserved(lines.clone()), None),
            Some(Decided::Refused(refusal)) => (Event::Released(Lines::default()), Some(refusal)),
            Some(Decided::Short(_)) | None => {
                short.push(asked.id.as_uuid());
                continue;
            }
        };
        orders.push(asked.id.as_uuid());
        states.push(event.state().as_str());
        let (why, of) = refusal.and_then(reservations::kept_of).unzip();
        refusals.push(why);
        refused_skus.push(of.map(|skus| skus.iter().map(Sku::as_str).collect::<Vec<_>>().join(",")));
        for (sku, quantity) in event.lines().iter() {
            owners.push(asked.id.as_uuid());
            skus.push(sku.to_string());
            quantities.push(i64::from(quantity));
        }
        said.push(events::of_reservation(asked.id, &event, 1));
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
        .bind(short)
        .execute(tx)
        .await?;
    Ok(())
}
