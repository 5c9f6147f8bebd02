//! Publishes the outbox: in commit order, at least once.
//!
//! ```text
//!  outbox rows ──> WAL ──> slot ──> Relay ──> producer ──> Kafka
//!                           ^ confirmed only when Kafka ────┘
//!                             has acknowledged all before it
//! ```
//! The slot decodes commits in their order and gives again what was not confirmed, so a relay that dies loses nothing and says a little twice.
//! When Kafka is away the slot keeps the WAL, requests go on, and the lag is a metric. When the server has thrown the slot away (it does so at
//! `max_slot_wal_keep_size`, before the disk is full), the relay makes a new one and publishes from the table what may be missing.

mod event;
mod flight;
mod gate;
mod lag;
mod landings;

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use cdc::{Event, Lsn, Row, Slot, Source, Stream};
use config::Secret;
use rdkafka::producer::Producer as _;
use sqlx::PgPool;
use store::outbox::{self, Progress};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::{
    event::{Envelope, OutboxRow},
    flight::Flight,
    gate::Gate,
    lag::Lag,
    landings::Producer,
};
use crate::Error;

const RETRY: Duration = Duration::from_millis(500);
/// How often progress is noted and lag is looked at.
const TICK: Duration = Duration::from_secs(1);
/// How often progress is noted while nothing happens but the clock.
const IDLE_NOTE: time::Duration = time::Duration::seconds(10);
/// How often the slot is looked at.
const SLOT_TICK: u32 = 5;
/// Longest wait for the database. A server that is gone without a word would hold the relay for ever.
const PATIENCE: Duration = Duration::from_secs(70);
/// No transaction is open for longer: services give theirs 15 s.
const LONGEST_TRANSACTION: time::Duration = time::Duration::minutes(10);
/// Rows that are read from the table at a time.
const PAGE: i64 = 500;

const ERRORS: &str = "market_outbox_relay_errors_total";
const SLOTS_LOST: &str = "market_outbox_slots_lost_total";
const REFUSED: &str = "market_outbox_refused_total";
const UNDONE: &str = "market_outbox_undone_total";
/// What a rule looks at has a value before it first counts, or the first time would be no increase.
const COUNTERS: [&str; 4] = [ERRORS, SLOTS_LOST, REFUSED, UNDONE];

/// An outbox and where it goes.
#[derive(Debug, Clone)]
pub struct Outbox {
    /// Pool of the service's role.
    pub pool: PgPool,
    /// The same database, for the replication connection. The role needs REPLICATION.
    pub database_url: Secret,
    /// Kafka's address.
    pub bootstrap: String,
    /// `ce_source`, e.g. `/market/eu/order`.
    pub source: String,
    /// Whether the changes that it tells of are mirrored: then an event goes out when the other region has its change, and not when that is undone.
    pub is_mirrored: bool,
}

/// Publishes `outbox` beside the service, and looks after the shared tables.
pub fn publish(process: &rpc::Process, outbox: Outbox) {
    let (shutdown, upkeep) = (process.shutdown.clone(), store::upkeep(outbox.pool.clone()));
    let relay = outbox.run(shutdown.clone());
    process.spawn("outbox relay", async { Ok(relay.await?) });
    process.spawn("upkeep", async move {
        shutdown.run_until_cancelled(upkeep).await;
        Ok(())
    });
}

/// The slot and the publication of the schema that the role works in.
#[derive(Debug)]
struct Names {
    slot: Slot,
    publication: String,
}

impl Outbox {
    /// Publishes until `shutdown`. Kafka or the database being away only delays it.
    ///
    /// # Errors
    /// When the settings are of no use.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let source = Source::from_url(&self.database_url)?;
        COUNTERS.into_iter().for_each(|name| metrics::counter!(name).absolute(0));
        let publish = async {
            loop {
                let Err(error) = self.session(&source).await;
                if matches!(error, Error::Taken) {
                    tracing::debug!("another reader has the slot");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
                metrics::counter!(ERRORS).increment(1);
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "outbox relay will try again");
                tokio::time::sleep(RETRY).await;
            }
        };
        Box::pin(shutdown.run_until_cancelled(publish)).await;
        Ok(())
    }

    /// Publishes until something fails.
    async fn session(&self, source: &Source) -> Result<Infallible, Error> {
        let names = in_time(self.names(source)).await?;
        in_time(self.wait_for_turn(&names)).await?;
        let producer = landings::producer(&self.bootstrap)?;
        if in_time(Box::pin(self.is_interrupted(&names))).await? {
            self.catch_up(&producer).await?;
        }
        let stream = Stream::open(source, &names.slot, &names.publication).await?;
        self.follow(stream, &producer, &names).await
    }

    async fn names(&self, source: &Source) -> Result<Names, Error> {
        let schema: String = sqlx::query_scalar("SELECT current_schema()::text").fetch_one(&self.pool).await?;
        // Slots are one set for the whole server, so the database's name belongs to theirs.
        let slot = Slot { name: format!("{}_{schema}_outbox", source.database()) };
        Ok(Names { slot, publication: format!("{schema}_outbox") })
    }

    /// Only one reader may have a slot: another replica of the service, or the server's half of a connection that a killed process left.
    async fn wait_for_turn(&self, names: &Names) -> Result<(), Error> {
        match names.slot.standing(&self.pool).await? {
            Some(standing) if standing.is_active => Err(Error::Taken),
            _ => Ok(()),
        }
    }

    /// Sees to it that there is a slot. True when the table may hold events that it does not give.
    async fn is_interrupted(&self, names: &Names) -> Result<bool, Error> {
        if names.slot.standing(&self.pool).await?.is_some_and(|standing| !standing.is_lost) {
            return Ok(outbox::progress(&self.pool).await?.is_interrupted);
        }
        // Noted first: a crash after the slot is made must not hide what came before it.
        let progress = outbox::progress(&self.pool).await?;
        outbox::set_progress(&self.pool, Progress { is_interrupted: true, ..progress }).await?;
        if !progress.is_interrupted {
            metrics::counter!(SLOTS_LOST).increment(1);
            tracing::error!(slot = names.slot.name, since = %progress.confirmed_at, "the replication slot was lost; its events are published from the table");
        }
        names.slot.make(&self.pool).await?;
        Ok(true)
    }

    /// Publishes from the table all that was not confirmed. By id, so that each key's order holds; what the new slot gives again is a repeat.
    async fn catch_up(&self, producer: &Producer) -> Result<(), Error> {
        let progress = in_time(async { Ok(outbox::progress(&self.pool).await?) }).await?;
        let since = progress.confirmed_at.checked_sub(LONGEST_TRANSACTION).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let mut gate = self.gate();
        let (mut last, mut confirmed_at, mut count) = (0, progress.confirmed_at, 0_usize);
        loop {
            let page = sqlx::query_as(
                "SELECT id, event_id, topic, key, type AS kind, payload, traceparent, created_at FROM outbox
                 WHERE created_at >= $1 AND id > $2 ORDER BY id LIMIT $3",
            );
            let rows: Vec<OutboxRow> = in_time(async { Ok(page.bind(since).bind(last).bind(PAGE).fetch_all(&self.pool).await?) }).await?;
            let Some(row) = rows.last() else { break };
            gate.comes(self.last_position().await?);
            gate.opens().await?;
            (last, confirmed_at) = (row.id, confirmed_at.max(row.created_at));
            count += rows.len();
            let mut flight = Flight::new(self, producer);
            for row in &rows {
                flight.send(&Envelope::from(row))?;
            }
            while flight.is_under_way() {
                flight.land().await?;
                flight.set_aside().await?;
            }
            flight.set_aside().await?;
        }
        if count > 0 {
            tracing::info!(events = count, "events were published from the table");
        }
        self.note(confirmed_at).await
    }

    /// A position behind which no row lies that has been read.
    async fn last_position(&self) -> Result<Lsn, Error> {
        let sql = "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint - 1";
        let position: i64 = in_time(async { Ok(sqlx::query_scalar(sql).fetch_one(&self.pool).await?) }).await?;
        Ok(Lsn::from_u64(position.unsigned_abs()))
    }

    fn gate(&self) -> Gate {
        Gate::new(self.is_mirrored.then(|| self.pool.clone()))
    }

    /// Forgets events whose changes are undone. To be awaited before their position is confirmed.
    async fn forget(&self, undone: &mut Vec<Uuid>) -> Result<(), Error> {
        if undone.is_empty() {
            return Ok(());
        }
        tracing::warn!(events = undone.len(), "what they tell of was undone, so these events are not published");
        metrics::counter!(UNDONE).increment(u64::try_from(undone.len()).unwrap_or(u64::MAX));
        in_time(async { Ok(outbox::forget(&self.pool, undone).await?) }).await?;
        undone.clear();
        Ok(())
    }

    async fn note(&self, confirmed_at: OffsetDateTime) -> Result<(), Error> {
        in_time(async { Ok(outbox::set_progress(&self.pool, Progress { confirmed_at, is_interrupted: false }).await?) }).await
    }

    async fn follow(&self, mut stream: Stream, producer: &Producer, names: &Names) -> Result<Infallible, Error> {
        let (mut flight, mut gate) = (Flight::new(self, producer), self.gate());
        let mut undone = Vec::new();
        let mut committed_at = OffsetDateTime::UNIX_EPOCH;
        let mut noted = OffsetDateTime::UNIX_EPOCH;
        let mut lag = Lag::default();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut tick = 0;
        loop {
            flight.set_aside().await?;
            self.forget(&mut undone).await?;
            tokio::select! {
                biased;
                landed = flight.land(), if flight.is_under_way() => {
                    if let Some(lsn) = landed? {
                        stream.confirm(lsn);
                    }
                }
                opened = gate.opens(), if gate.is_shut() => opened?,
                event = stream.next(), if flight.has_room() && !gate.is_shut() => {
                    let mut event = Some(event?);
                    // What came with it goes along, so that a wait is paid for once and not for each row.
                    while let Some(one) = event {
                        match one {
                            Event::Begin { lsn, at } => {
                                committed_at = at;
                                gate.comes(lsn);
                            }
                            Event::Insert(row) if is_undone(&row, &gate)? => undone.push(row.uuid("event_id")?),
                            Event::Insert(row) => flight.send(&Envelope::read(&row, committed_at)?)?,
                            Event::Commit { lsn, at } => flight.mark(lsn, at),
                            Event::Idle { lsn, at } => {
                                // Other tables' changes: without this the slot would keep them.
                                if !flight.is_under_way() {
                                    stream.confirm(lsn);
                                    flight.confirmed_at = at;
                                }
                            }
                        }
                        event = if flight.has_room() && !gate.is_shut() { stream.ready() } else { None };
                    }
                }
                _ = ticks.tick() => {
                    flight.tell_lag(gate.is_shut().then_some(committed_at));
                    // While nothing happens the position moves only by the server's own words, which are no news worth a write each second.
                    let is_news = flight.confirmed_at > noted && (flight.has_landed || flight.confirmed_at - noted > IDLE_NOTE);
                    if is_news {
                        (noted, flight.has_landed) = (flight.confirmed_at, false);
                        self.note(noted).await?;
                    }
                    tick += 1;
                    if tick % SLOT_TICK == 0 {
                        in_time(lag.look(&self.pool, &names.slot)).await?;
                    }
                    if let Some((code, reason)) = producer.client().fatal_error() {
                        return Err(Error::Fatal(format!("{code}: {reason}")));
                    }
                }
            }
        }
    }
}

fn is_undone(row: &Row, gate: &Gate) -> Result<bool, cdc::Error> {
    for home in gate.undone_homes() {
        if row.optional_text("home")? == Some(home) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn in_time<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let began = Instant::now();
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(Error::Patience(began.elapsed())))
}
