//! The region's database: who holds what, whether commits wait for the peer, and how far that is. What it needs is in `region.sql`.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use config::Secret;
use ids::Region;
use lease::{Look, Time};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, FromRow, PgPool, postgres::PgConnectOptions};
use tokio::time::sleep;

/// What was written so long ago and is not confirmed says that the mirror is silent.
const SILENT: Duration = Duration::from_millis(700);
/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the server's own processes may take to learn of a setting that sessions already see.
const SETTLES: Duration = Duration::from_millis(150);
/// The application name of what sets names: whatever of it still runs is ended first.
const NAMING: &str = "region names";

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) region: Region,
    pool: PgPool,
    naming: PgConnectOptions,
    begun: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Positions and when they were seen, the oldest first.
    positions: VecDeque<(Time, i64)>,
    /// The database's clock in milliseconds, and a time by ours not before that.
    clock: Option<(i64, Time)>,
}

/// A look, with what only people want to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mirror {
    pub(crate) look: Look,
    pub(crate) lag: u64,
    pub(crate) position: u64,
    pub(crate) confirmed: u64,
}

#[derive(FromRow)]
struct Row {
    clock_ms: i64,
    names: String,
    listening: Option<bool>,
    refused: i64,
    position: i64,
    confirmed: Option<i64>,
    homes: Vec<String>,
    holders: Vec<String>,
    epochs: Vec<i64>,
}

const LOOK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS clock_ms,
        current_setting('synchronous_standby_names') AS names,
        (SELECT subenabled FROM pg_subscription JOIN pg_database ON pg_database.oid = subdbid
            WHERE subname = $2 AND datname = current_database()) AS listening,
        (SELECT count(*) FROM region.refused WHERE seen_to_at IS NULL) AS refused,
        (pg_current_wal_flush_lsn() - '0/0')::bigint AS position,
        (SELECT max(flush_lsn - '0/0')::bigint FROM pg_stat_replication WHERE application_name = $1 AND state = 'streaming') AS confirmed,
        h.homes, h.holders, h.epochs
    FROM (SELECT coalesce(array_agg(home), '{}') AS homes, coalesce(array_agg(holder), '{}') AS holders,
                 coalesce(array_agg(epoch), '{}') AS epochs FROM region.homes) AS h";

impl Database {
    /// The database at `url`; times count from `begun`.
    pub(crate) fn new(url: &Secret, region: Region, begun: Instant) -> Result<Self, store::Error> {
        let pool = store::connect(url, 8)?;
        let naming: PgConnectOptions = url.expose().parse().map_err(store::Error::Url)?;
        let naming = naming.application_name(NAMING).options([("statement_timeout", "2s")]).disable_statement_logging();
        Ok(Self { region, pool, naming, begun, state: Arc::default() })
    }

    fn now(&self) -> Time {
        self.begun.elapsed()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn ping(self) -> Result<(), String> {
        store::ping(self.pool).await
    }

    /// How everything stands.
    pub(crate) async fn look(&self) -> sqlx::Result<Mirror> {
        let at = self.now();
        let query = sqlx::query_as(LOOK).bind(subscription(self.region)).bind(subscription(self.region.peer()));
        let row: Row = query.fetch_one(&self.pool).await?;
        let seen = self.now();
        let mut state = self.state();
        state.clock = Some((row.clock_ms, seen));
        state.positions.push_back((seen, row.position));
        while state.positions.len() > 1 && seen.saturating_sub(state.positions[1].0) > SILENT {
            state.positions.pop_front();
        }
        let due = state.positions.front().filter(|(at, _)| seen.saturating_sub(*at) > SILENT).map_or(0, |(_, position)| *position);
        let mut rows = [None; 2];
        for ((home, holder), epoch) in row.homes.iter().zip(&row.holders).zip(&row.epochs) {
            if let (Ok(home), Ok(holder)) = (home.parse::<Region>(), holder.parse()) {
                rows[home as usize] = Some((holder, epoch.unsigned_abs()));
            }
        }
        let look = Look {
            at,
            names: !row.names.is_empty(),
            streaming: row.confirmed.is_some_and(|confirmed| confirmed >= due),
            // Without a subscription there is nothing to switch.
            listening: row.listening.unwrap_or(true),
            refused: row.refused.unsigned_abs(),
            rows,
        };
        let confirmed = row.confirmed.unwrap_or(0).unsigned_abs();
        let position = row.position.unsigned_abs();
        let lag = if row.confirmed.is_some() { position.saturating_sub(confirmed) } else { 0 };
        Ok(Mirror { look, lag, position, confirmed })
    }

    /// Says who holds a home, and until when it may be written here. The time is one of ours; it becomes one of the database's clock that was read
    /// before, so that however long this takes on its way it means no later instant.
    pub(crate) async fn set(&self, home: Region, holder: Region, epoch: u64, until: Time) -> sqlx::Result<()> {
        if holder != self.region {
            self.break_off().await;
        }
        let clock = self.state().clock;
        let deadline = clock.filter(|_| until > Time::ZERO).map_or(0, |(clock, seen)| {
            let ahead = i64::try_from(until.as_millis()).unwrap_or(0) - i64::try_from(seen.as_millis()).unwrap_or(i64::MAX);
            clock + ahead
        });
        let sql = "SELECT region.set_home($1, $2, $3, greatest(0, $4 - (extract(epoch FROM clock_timestamp()) * 1000)::bigint))";
        let query = sqlx::query(sql).bind(home.as_str()).bind(holder.as_str()).bind(epoch.cast_signed()).bind(deadline);
        query.execute(&self.pool).await?;
        self.let_end(home).await
    }

    /// Returns when nothing is under way that relies on a home that may no longer be written here.
    async fn let_end(&self, home: Region) -> sqlx::Result<()> {
        let sql = "SELECT coalesce(array_agg(t), '{}') FROM region.relying($1) AS t WHERE NOT region.holds($1)";
        let relying: Vec<String> = sqlx::query_scalar(sql).bind(home.as_str()).fetch_one(&self.pool).await?;
        let sql = "SELECT EXISTS (SELECT 1 FROM region.relying($1) AS t WHERE t = ANY ($2))";
        while !relying.is_empty() && sqlx::query_scalar(sql).bind(home.as_str()).bind(&relying).fetch_one(&self.pool).await? {
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Ends commits that wait for the peer: what they wrote is not ours any more, so nobody may be told that it is in both regions. Their callers
    /// lose the connection, and with it know that they know nothing.
    pub(crate) async fn break_off(&self) {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()";
        if let Err(error) = sqlx::query(sql).execute(&self.pool).await {
            tracing::warn!(%error, "commits that wait for the other region cannot be ended");
        }
    }

    /// Listens to the peer.
    pub(crate) async fn listen(&self) -> sqlx::Result<()> {
        let query = sqlx::query("SELECT region.listen_to($1, true)").bind(self.region.peer().as_str());
        query.execute(&self.pool).await.map(drop)
    }

    /// Stops listening to the peer, and returns when nothing of it can be confirmed any more.
    pub(crate) async fn silence(&self) -> sqlx::Result<()> {
        let query = sqlx::query("SELECT region.listen_to($1, false)").bind(self.region.peer().as_str());
        query.execute(&self.pool).await?;
        let sql = "SELECT EXISTS (SELECT 1 FROM pg_stat_subscription WHERE subname = $1 AND pid IS NOT NULL)";
        while sqlx::query_scalar(sql).bind(subscription(self.region.peer())).fetch_one(&self.pool).await? {
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Has commits wait for the peer, or not. What an earlier call of this has left is ended first.
    pub(crate) async fn name(&self, on: bool) -> sqlx::Result<bool> {
        let mut connection = self.naming.connect().await?;
        let sql = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
            WHERE application_name = $1 AND usename = current_user AND pid <> pg_backend_pid()";
        sqlx::query(sql).bind(NAMING).execute(&mut connection).await?;
        let name = if on { subscription(self.region) } else { String::new() };
        sqlx::raw_sql(AssertSqlSafe(format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'"))).execute(&mut connection).await?;
        sqlx::query("SELECT pg_reload_conf()").execute(&mut connection).await?;
        let sql = "SELECT current_setting('synchronous_standby_names') = $1
            AND NOT EXISTS (SELECT 1 FROM pg_stat_replication WHERE application_name = $2 AND (sync_state = 'async') = ($1 <> ''))";
        let is_so = || sqlx::query_scalar::<_, bool>(sql).bind(&name).bind(subscription(self.region));
        while !is_so().fetch_one(&mut connection).await? {
            sleep(PAUSE).await;
        }
        sleep(SETTLES).await;
        connection.close().await?;
        Ok(on)
    }

    /// Takes a position and returns when the peer has confirmed it. Transactions under way were waited for when the home was closed.
    pub(crate) async fn confirm(&self) -> sqlx::Result<()> {
        let position: i64 = sqlx::query_scalar("SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint").fetch_one(&self.pool).await?;
        let sql = "SELECT EXISTS (SELECT 1 FROM pg_stat_replication
            WHERE application_name = $1 AND state = 'streaming' AND (flush_lsn - '0/0')::bigint >= $2)";
        while !sqlx::query_scalar::<_, bool>(sql).bind(subscription(self.region)).bind(position).fetch_one(&self.pool).await? {
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Sees to refused rows: how many there were.
    pub(crate) async fn heal(&self) -> sqlx::Result<i64> {
        sqlx::query_scalar("SELECT region.heal()").fetch_one(&self.pool).await
    }
}

/// The subscription to what `publisher` writes, and the name under which it calls there.
fn subscription(publisher: Region) -> String {
    format!("market_from_{publisher}")
}
