//! One region's spine: what its outboxes, its topics and its inboxes say of each other. One topic at a time, so that no more than its ids
//! are held.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::TryStreamExt as _;
use ids::Region;
use promises::BUS_1;
use prost::{DecodeError, Message as _};
use proto::events::{
    cart::v1::{CartCheckedOut, CartDelta},
    inventory::v1::{ItemChanged, ReservationChanged},
    order::v1::{OrderCancelled, OrderConfirmed, OrderPlaced, OrderReturned, OrderShipped},
    payment::v1::PaymentChanged,
};
use spine::{
    Delivery, Tail,
    topics::{self, CART_EVENTS, INVENTORY_EVENTS, INVENTORY_ITEM, INVENTORY_RIGHTS, ORDER_EVENTS, PAYMENT_EVENTS},
};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::{Instant, sleep, timeout};
use uuid::{Builder, Uuid};

use super::Scope;
use crate::verify::{
    checks::bus_1::{At, Consumer, Hears, Mark, Message, Row, Span, Topic},
    facts::Millis,
    finding::Findings,
};

/// A broker that says nothing for this long cannot be read.
const PATIENCE: Duration = Duration::from_secs(10);

/// What each service hears, as its `inbox.rs` has it.
const HEARD: [Hears; 4] = [
    Hears { schema: "cart", consumer: "cart", from: &[(ORDER_EVENTS, &["order.placed"])], mark: Mark::Event },
    // The shop may be faster than the event, so the cart notes the order too.
    Hears { schema: "cart", consumer: "check out", from: &[(ORDER_EVENTS, &["order.placed"])], mark: Mark::Key },
    Hears { schema: "inventory", consumer: "inventory", from: &[(ORDER_EVENTS, &["order.shipped", "order.cancelled"])], mark: Mark::Event },
    Hears { schema: "order", consumer: "order", from: &[(PAYMENT_EVENTS, &SETTLED)], mark: Mark::Event },
];
/// What services hear from the other region's Kafka, as their `peer.rs` has it.
const HEARD_BY_PEER: [Hears; 2] = [
    Hears { schema: "cart", consumer: "cart-peer", from: &[(CART_EVENTS, &["cart.delta", "cart.checked_out"])], mark: Mark::Event },
    Hears {
        schema: "inventory",
        consumer: "inventory-peer",
        from: &[(INVENTORY_RIGHTS, &["inventory.rights_wanted", "inventory.rights_moved", "inventory.order_ended"])],
        mark: Mark::Event,
    },
];
const SETTLED: [&str; 4] = ["payment.requires_action", "payment.authorized", "payment.declined", "payment.voided"];

/// Reads one region's spine.
pub(super) struct Reader<'a> {
    region: Region,
    bootstrap: &'a str,
    database: PgConnection,
    /// The other region's, where what is said here is heard too.
    peer: PgConnection,
    span: Span,
}

impl<'a> Reader<'a> {
    pub(super) fn new(region: Region, bootstrap: &'a str, [database, peer]: [PgConnection; 2], scope: Scope) -> Self {
        Self { region, bootstrap, database, peer, span: Span { since: scope.kept_since(), horizon: scope.horizon } }
    }

    pub(super) async fn follow(&mut self, findings: &mut Findings, progress: &impl Fn(&str)) -> Result<()> {
        let outboxes = self.schemas_with("outbox").await?;
        self.look_for_strange_topics(&outboxes, findings).await?;
        let mut consumers = Vec::new();
        for hears in HEARD {
            consumers.push(inbox(&mut self.database, self.region, hears, self.span, findings).await?);
        }
        for hears in HEARD_BY_PEER {
            consumers.push(inbox(&mut self.peer, self.region.peer(), hears, self.span, findings).await?);
        }
        for name in topics::ALL {
            progress(&format!("{}'s {name}", self.region));
            let mut topic = Topic::new(format!("{name} in {}", self.region), self.span, name == INVENTORY_ITEM);
            // Opened first: what is in the topic by now was committed before, so its rows are seen.
            let tail = Tail::open(self.bootstrap.to_owned(), name, std::collections::BTreeMap::new()).await.context(name)?;
            for (number, schema) in (0..).zip(&outboxes) {
                self.outbox(schema, number, name, &mut topic, findings).await.with_context(|| format!("the outbox of {schema}"))?;
            }
            read(tail, name, &mut topic, &mut consumers, findings).await.context(name)?;
            topic.finish(findings);
        }
        consumers.into_iter().for_each(|consumer| consumer.finish(findings));
        Ok(())
    }

    async fn schemas_with(&mut self, table: &str) -> Result<Vec<String>> {
        let sql = "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE c.relname = $1 AND c.relkind IN ('r', 'p') ORDER BY 1";
        Ok(sqlx::query_scalar(sql).bind(table).fetch_all(&mut self.database).await?)
    }

    /// Rows for a topic that does not exist are never published.
    async fn look_for_strange_topics(&mut self, outboxes: &[String], findings: &mut Findings) -> Result<()> {
        for schema in outboxes {
            let sql = format!("SELECT topic, count(*) FROM \"{schema}\".outbox WHERE topic <> ALL($1) GROUP BY topic");
            let known = topics::ALL.map(str::to_owned);
            let strange: Vec<(String, i64)> = sqlx::query_as(AssertSqlSafe(sql)).bind(&known[..]).fetch_all(&mut self.database).await?;
            for (topic, count) in strange {
                let subject = format!("outbox of {schema} in {}", self.region);
                findings.broken(BUS_1, subject, format!("has {count} events for topic {topic}, which does not exist"));
            }
        }
        Ok(())
    }

    async fn outbox(&mut self, schema: &str, number: u8, name: &str, topic: &mut Topic, findings: &mut Findings) -> Result<()> {
        let sql = format!(
            "SELECT id, event_id, key, (extract(epoch FROM created_at) * 1000)::bigint FROM \"{schema}\".outbox
             WHERE topic = $1 AND created_at >= to_timestamp($2::float8 / 1000)"
        );
        let rows = sqlx::query_as::<_, (i64, Uuid, String, Millis)>(AssertSqlSafe(sql)).bind(name).bind(self.span.since);
        let mut rows = rows.fetch(&mut self.database);
        while let Some((id, event_id, key, created_at)) = rows.try_next().await? {
            topic.row(&Row { outbox: number, id, event_id, key, created_at }, findings);
        }
        Ok(())
    }
}

/// What a consumer of a region has applied.
async fn inbox(database: &mut PgConnection, region: Region, hears: Hears, span: Span, findings: &mut Findings) -> Result<Consumer> {
    let mut consumer = Consumer::new(hears, region.as_str(), span);
    let context = || format!("the inbox of {} in {region}", hears.schema);
    let sql = format!("SELECT event_id FROM \"{}\".inbox WHERE consumer = $1 AND event_id >= $2", hears.schema);
    // Ids sort by their time.
    let first = Builder::from_unix_timestamp_millis(span.since.unsigned_abs(), &[0; 10]).into_uuid();
    let mut rows = sqlx::query_scalar::<_, Uuid>(AssertSqlSafe(sql)).bind(hears.consumer).bind(first).fetch(&mut *database);
    while let Some(id) = rows.try_next().await.with_context(context)? {
        consumer.row(id, findings);
    }
    drop(rows);
    let sql = format!("SELECT event_id, cause FROM \"{}\".dead_letters WHERE consumer = $1", hears.schema);
    let letters = sqlx::query_as(AssertSqlSafe(sql)).bind(hears.consumer).fetch_all(database);
    let letters: Vec<(Uuid, String)> = letters.await.with_context(context)?;
    letters.into_iter().for_each(|(id, cause)| consumer.dead_letter(id, cause));
    Ok(consumer)
}

/// Reads a topic to where it ended when it was opened.
async fn read(mut tail: Tail, name: &str, topic: &mut Topic, consumers: &mut [Consumer], findings: &mut Findings) -> Result<()> {
    let mut heard = Instant::now();
    while !tail.is_caught_up() {
        match timeout(PATIENCE, tail.next()).await {
            Ok(Ok(delivery)) => {
                heard = Instant::now();
                let Some(delivery) = delivery else {
                    findings.broken(BUS_1, name, "has a message that is none of ours");
                    continue;
                };
                let message = message(delivery, findings);
                topic.message(&message, findings);
                consumers.iter_mut().for_each(|consumer| consumer.message(name, &message));
            }
            // The client tells of each try to connect.
            Ok(Err(_)) if heard.elapsed() < PATIENCE => sleep(Duration::from_millis(10)).await,
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => anyhow::bail!("kafka says nothing for {} s", PATIENCE.as_secs()),
        }
    }
    Ok(())
}

fn message(delivery: Delivery, findings: &mut Findings) -> Message {
    let Delivery { topic, partition, offset, key, event_id, kind, payload, .. } = delivery;
    let version = version(&topic, &kind, &payload).unwrap_or_else(|error| {
        findings.broken(BUS_1, format!("event {event_id} of {topic}"), format!("cannot be read: {error}"));
        None
    });
    Message { at: At(partition, offset), event_id, key, kind, version }
}

/// The version of its aggregate that an event tells; nothing of a kind that is not known here, or a tombstone.
fn version(topic: &str, kind: &str, payload: &[u8]) -> Result<Option<u64>, DecodeError> {
    if payload.is_empty() {
        return Ok(None);
    }
    let version = match (topic, kind) {
        (ORDER_EVENTS, "order.placed") => OrderPlaced::decode(payload)?.version,
        (ORDER_EVENTS, "order.confirmed") => OrderConfirmed::decode(payload)?.version,
        (ORDER_EVENTS, "order.shipped") => OrderShipped::decode(payload)?.version,
        (ORDER_EVENTS, "order.returned") => OrderReturned::decode(payload)?.version,
        (ORDER_EVENTS, "order.cancelled") => OrderCancelled::decode(payload)?.version,
        (PAYMENT_EVENTS, _) => PaymentChanged::decode(payload)?.version,
        // They tell what is next and change nothing, so they carry no version.
        (INVENTORY_EVENTS, "inventory.awaits_payment" | "inventory.refused") => return Ok(None),
        (INVENTORY_EVENTS, _) => ReservationChanged::decode(payload)?.version,
        (INVENTORY_ITEM, _) => ItemChanged::decode(payload)?.version,
        (CART_EVENTS, "cart.checked_out") => CartCheckedOut::decode(payload)?.version,
        (CART_EVENTS, "cart.delta") => CartDelta::decode(payload)?.version,
        _ => return Ok(None),
    };
    Ok(Some(version))
}
