//! Publishes the outbox: in order per key, at least once.
//!
//! Ids of one key grow in commit order (the writer holds the aggregate's row lock), so publishing the unsent rows by id keeps each
//! key's order. Rows are marked, never skipped by a high watermark, so a row that commits late is not lost.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer as _},
    util::Timeout,
};
use sqlx::{FromRow, PgConnection, PgPool};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Error, client};

const BATCH: i32 = 500;
/// How long an event may wait when nobody woke the relay, e.g. after a crash.
const POLL: Duration = Duration::from_millis(250);
const RETRY: Duration = Duration::from_millis(500);
/// Longest wait for the database. A server that is gone without a word would hold the relay for ever.
const PATIENCE: Duration = Duration::from_secs(15);

/// Publishes one service's outbox.
#[derive(Debug)]
pub struct Relay {
    /// Pool of the service's role.
    pub pool: PgPool,
    /// Kafka's address.
    pub bootstrap: String,
    /// `ce_source`, e.g. `/market/eu/order`.
    pub source: String,
    /// Wakes the relay.
    pub wake: Wake,
}

/// Tells the relay that the outbox has something. Cheap to clone; call after the commit.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// Wakes the relay now.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// Publishes the outbox in `pool`'s schema beside the service, as events from `source`, and forgets what is old. Wake it after a commit.
#[must_use]
pub fn publish(process: &rpc::Process, pool: &PgPool, bootstrap: &str, source: String) -> Wake {
    let wake = Wake::default();
    let relay = Relay { pool: pool.clone(), bootstrap: bootstrap.to_owned(), source, wake: wake.clone() };
    let (shutdown, prune) = (process.shutdown.clone(), store::prune(pool.clone()));
    process.spawn("outbox relay", {
        let shutdown = shutdown.clone();
        async { Ok(relay.run(shutdown).await?) }
    });
    process.spawn("prune", async move {
        shutdown.run_until_cancelled(prune).await;
        Ok(())
    });
    wake
}

#[derive(FromRow)]
struct Row {
    id: i64,
    event_id: Uuid,
    topic: String,
    key: String,
    r#type: String,
    payload: Vec<u8>,
    traceparent: Option<String>,
    created_at: OffsetDateTime,
}

impl Relay {
    /// Publishes until `shutdown`. Kafka or the database being away only delays it.
    ///
    /// # Errors
    /// When the producer cannot be built.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let producer: FutureProducer = client::producer(&self.bootstrap).create()?;
        let publish = async {
            loop {
                if let Err(error) = self.publish_all(&producer).await {
                    if let Some((code, reason)) = producer.client().fatal_error() {
                        // Nothing goes out through this producer any more; the process starts anew with another.
                        return Err(Error::Fatal(format!("{code}: {reason}")));
                    }
                    metrics::counter!("market_outbox_relay_errors_total").increment(1);
                    tracing::warn!(error = %error, cause = ?std::error::Error::source(&error).map(ToString::to_string), "outbox relay will try again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
        Box::pin(shutdown.run_until_cancelled(publish)).await.unwrap_or(Ok(()))
    }

    /// Holds the schema's relay lock and publishes batch after batch. Returns only with an error.
    async fn publish_all(&self, producer: &FutureProducer) -> Result<(), Error> {
        let mut connection = self.pool.acquire().await?.detach();
        // Two relays of one outbox would break the order, so a second replica waits here.
        while !in_time(is_only_relay(&mut connection)).await? {
            tokio::time::sleep(RETRY).await;
        }
        loop {
            let is_full = self.publish_batch(producer, &mut connection).await?;
            if !is_full {
                let _ = tokio::time::timeout(POLL, self.wake.0.notified()).await;
            }
        }
    }

    /// Publishes the oldest unsent rows; true when there may be more.
    async fn publish_batch(&self, producer: &FutureProducer, connection: &mut PgConnection) -> Result<bool, Error> {
        let rows: Vec<Row> = in_time(
            sqlx::query_as(
                "SELECT id, event_id, topic, key, type, payload, traceparent, created_at FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT $1",
            )
            .bind(BATCH)
            .fetch_all(&mut *connection),
        )
        .await?;
        let lag = rows.first().map_or(0.0, |oldest| (OffsetDateTime::now_utc() - oldest.created_at).as_seconds_f64().max(0.0));
        metrics::gauge!("market_outbox_lag_seconds").set(lag);
        if rows.is_empty() {
            return Ok(false);
        }
        // Queued in id order on one idempotent producer: the order holds within each partition, also through its own retries.
        let sends = rows.iter().map(|row| async move {
            let record = FutureRecord::to(&row.topic).key(&row.key).payload(&row.payload).headers(self.headers(row));
            producer.send(record, Timeout::Never).await.map_err(|(error, _)| error)
        });
        let ends = join_all(sends).await;
        let (mut sent, mut failed) = (Vec::with_capacity(rows.len()), None);
        for (row, end) in rows.iter().zip(ends) {
            match end {
                Ok(_) => sent.push(row.id),
                Err(error) if is_hopeless(&error) => refuse(connection, row, &error).await?,
                Err(error) => failed = Some(error),
            }
        }
        in_time(sqlx::query("UPDATE outbox SET sent_at = now() WHERE id = ANY($1)").bind(&sent).execute(connection)).await?;
        metrics::counter!("market_outbox_events_total").increment(sent.len() as u64);
        failed.map_or_else(|| Ok(i32::try_from(rows.len()) == Ok(BATCH)), |error| Err(error.into()))
    }

    /// `CloudEvents` 1.0, Kafka protocol binding, binary mode.
    fn headers(&self, row: &Row) -> OwnedHeaders {
        let id = row.event_id.to_string();
        let time = row.created_at.format(&Rfc3339).unwrap_or_default();
        let mut pairs = vec![
            ("ce_specversion", "1.0"),
            ("ce_id", &id),
            ("ce_source", &self.source),
            ("ce_type", &row.r#type),
            ("ce_subject", &row.key),
            ("ce_time", &time),
            ("content-type", "application/protobuf"),
        ];
        if let Some(traceparent) = &row.traceparent {
            pairs.push(("traceparent", traceparent));
        }
        pairs
            .iter()
            .fold(OwnedHeaders::new_with_capacity(pairs.len()), |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }))
    }
}

async fn in_time<T>(statement: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(PATIENCE, statement).await.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
}

/// Kafka will not take this message at any later time either.
fn is_hopeless(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessage | RDKafkaErrorCode::InvalidMessageSize))
}

/// Sets an event aside.
async fn refuse(connection: &mut PgConnection, row: &Row, error: &KafkaError) -> sqlx::Result<()> {
    tracing::error!(%error, event.id = %row.event_id, topic = row.topic, key = row.key, "kafka will never take this event, it is set aside");
    metrics::counter!("market_outbox_refused_total").increment(1);
    let update = sqlx::query("UPDATE outbox SET sent_at = now(), refused = $2 WHERE id = $1").bind(row.id).bind(error.to_string());
    in_time(update.execute(connection)).await.map(drop)
}

async fn is_only_relay(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended('outbox relay of ' || current_schema(), 0))")
        .fetch_one(connection)
        .await
}
