//! The outbox that both sides read: the order service's shared tables in a database of their own.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use config::Secret;
use ids::Region;
use sqlx::{ConnectOptions as _, PgConnection, PgPool, migrate::Migrator, postgres::PgConnectOptions};
use tokio::{sync::Mutex, time::Instant};
use uuid::Uuid;

use super::super::bed::Bed;
use crate::engine::postgres::databases::{exists, run};

pub(super) const TOPIC: &str = ::spine::topics::ORDER_EVENTS;
/// Bytes of each payload.
pub(super) const PAYLOAD: usize = 200;
/// Different keys.
pub(super) const KEYS: u32 = 1_000;
/// The slot of our relay, and the rival's, with its publication.
pub(super) const OUR_SLOT: &str = "bench_order_outbox";
pub(super) const RIVAL_SLOT: &str = "bench_debezium";
pub(super) const RIVAL_PUBLICATION: &str = "debezium_outbox";
pub(super) const TABLE: &str = "order.outbox";
/// A schema of the market with a role that may stream.
const OWNER: &str = "order";
const DATABASE: &str = "bench";
const WRITERS: u32 = 8;
/// How long a server may take to see that a reader is gone.
const RELEASE: Duration = Duration::from_secs(20);

const INSERT: &str = "INSERT INTO outbox (event_id, topic, key, type, payload, traceparent)
    VALUES ($1, $2, md5($3::text)::uuid::text, 'order.placed', $4, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01')";

/// An outbox that nothing else writes to.
pub(super) struct Outbox {
    /// As its owner.
    pub(super) url: Secret,
    pub(super) pool: PgPool,
    /// The superuser, who makes and removes slots.
    superuser: Mutex<PgConnection>,
}

impl Outbox {
    pub(super) async fn make(bed: &Bed, region: Region) -> Result<Self> {
        let (port, secrets) = (bed.ports.postgres(region), bed.secrets()?);
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port).username("postgres").password(&secrets.superuser);
        let options = options.disable_statement_logging();
        let mut postgres = options.clone().database("postgres").connect().await.context("connect to the bench's PostgreSQL")?;
        run(&mut postgres, format!("CREATE DATABASE {DATABASE}")).await?;
        run(&mut postgres, format!("GRANT CONNECT, CREATE ON DATABASE {DATABASE} TO \"{OWNER}\"")).await?;
        let password = secrets.roles.get(OWNER).with_context(|| format!("there is no role {OWNER}"))?;
        let url = Secret::new(format!("postgres://{OWNER}:{password}@127.0.0.1:{port}/{DATABASE}"));
        let mut superuser = options.database(DATABASE).options([("search_path", OWNER)]).connect().await?;
        run(&mut superuser, format!("CREATE SCHEMA \"{OWNER}\" AUTHORIZATION \"{OWNER}\"")).await?;
        let none = Migrator { migrations: Vec::new().into(), ..Migrator::DEFAULT };
        store::migrate(&url, &none).await?;
        let publish = "WITH (publish = 'insert', publish_via_partition_root = true)";
        run(&mut superuser, format!("CREATE PUBLICATION {RIVAL_PUBLICATION} FOR TABLE outbox {publish}")).await?;
        let pool = store::connect(&url, WRITERS)?;
        Ok(Self { url, pool, superuser: Mutex::new(superuser) })
    }

    /// Empties it and gives it this slot alone, which keeps every commit from now on.
    pub(super) async fn empty(&self, slot: &str) -> Result<()> {
        let mut superuser = self.superuser.lock().await;
        for slot in [OUR_SLOT, RIVAL_SLOT] {
            discard(&mut superuser, slot).await?;
        }
        run(&mut superuser, "TRUNCATE outbox; UPDATE outbox_progress SET confirmed_at = now(), is_interrupted = false".to_owned()).await?;
        run(&mut superuser, format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await?;
        run(&mut superuser, "CHECKPOINT".to_owned()).await
    }

    /// Commits one event.
    pub(super) async fn append(&self, run: u32, number: u32) -> Result<()> {
        let mut payload = [0x5a; PAYLOAD];
        payload[..4].copy_from_slice(&run.to_be_bytes());
        payload[4..8].copy_from_slice(&number.to_be_bytes());
        let insert = sqlx::query(INSERT).bind(Uuid::now_v7()).bind(TOPIC).bind((number % KEYS).to_string()).bind(payload.as_slice());
        insert.execute(&self.pool).await.context("write an event")?;
        Ok(())
    }

    /// Commits that many events, `batch` in each transaction. The server makes them, and need not wait for its disk: nobody reads yet.
    pub(super) async fn fill(&self, run_: u32, events: u32, batch: u32) -> Result<()> {
        ensure!(events.is_multiple_of(batch), "whole transactions");
        let mut superuser = self.superuser.lock().await;
        let fill = format!(
            "DO $$ BEGIN
                 FOR low IN 0..{events} - 1 BY {batch} LOOP
                     INSERT INTO outbox (event_id, topic, key, type, payload, traceparent)
                     SELECT uuidv7(), '{TOPIC}', md5((n % {KEYS})::text)::uuid::text, 'order.placed',
                            int4send({run_}) || int4send(n) || decode(repeat('5a', {PAYLOAD} - 8), 'hex'),
                            '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
                     FROM generate_series(low, low + {batch} - 1) AS n;
                     COMMIT;
                 END LOOP;
             END $$"
        );
        // One by one: a DO that commits may not be one of several statements.
        for statement in ["SET synchronous_commit = off", &fill, "RESET synchronous_commit", "CHECKPOINT"] {
            run(&mut superuser, statement.to_owned()).await?;
        }
        Ok(())
    }
}

/// Removes a slot, as soon as the server has seen that its reader is gone.
async fn discard(superuser: &mut PgConnection, slot: &str) -> Result<()> {
    let end = Instant::now() + RELEASE;
    while exists(superuser, "SELECT 1 FROM pg_replication_slots WHERE slot_name = $1 AND active", slot).await? {
        ensure!(Instant::now() < end, "slot {slot} is still read");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    run(superuser, format!("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{slot}'")).await
}

/// Run and number of an event.
pub(super) fn tag(payload: &[u8]) -> Option<(u32, u32)> {
    let (run, rest) = payload.split_first_chunk()?;
    Some((u32::from_be_bytes(*run), u32::from_be_bytes(*rest.first_chunk()?)))
}
