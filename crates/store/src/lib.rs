//! PostgreSQL for services: pools, migrations, and the tables that make a change happen once: outbox, inbox with offsets, idempotency keys.
//!
//! Each function works on the caller's transaction, so the change and its record commit together or not at all.

pub mod consumers;
pub mod idempotency;
pub mod inbox;
pub mod outbox;
pub mod region;
mod together;
pub mod two_phase;
mod upkeep;

use std::time::Duration;

use config::Secret;
use sqlx::{
    Connection as _, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

pub use together::{Batch, Together, Waiting};
pub use upkeep::upkeep;

/// Tables that every service has; kept apart from the service's own migrations.
static SHARED: Migrator = sqlx::migrate!("./migrations");

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be read.
    #[error("read the database URL")]
    Url(#[source] sqlx::Error),
    /// A migration failed.
    #[error("migrate the database schema")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

/// How long an idle connection is taken to be as it was. A server that dies is back later than that.
const TRUSTED: Duration = Duration::from_secs(1);
/// For so long after a call was cancelled a connection that comes back is asked whether it is at rest ..
const LATELY: Duration = Duration::from_millis(50);
/// .. and is closed if it does not say so within this time.
const ABANDONED: Duration = Duration::from_millis(50);

/// A pool of at most `max` connections to `url`, made when first used. Waiting for a connection takes at most 3 s.
///
/// # Errors
/// [`Error::Url`].
pub fn connect(url: &Secret, max: u32) -> Result<PgPool, Error> {
    let options: PgConnectOptions = url.expose().parse().map_err(Error::Url)?;
    // A statement that hangs must not hold its connection for ever, nor may a transaction that its owner forgot.
    let options = options.options([("statement_timeout", "10s"), ("idle_in_transaction_session_timeout", "15s"), ("lock_timeout", "5s")]);
    // A client whose machine is gone must not keep its session and its locks for the two hours that the kernel would give it.
    let options = options.options([("tcp_keepalives_idle", "5"), ("tcp_keepalives_interval", "2"), ("tcp_keepalives_count", "3")]);
    // A server whose client is gone notices by its next statement only, unless it is told to look; by then it may have worked ten seconds for nobody.
    let options = options.options([("client_connection_check_interval", "250ms")]);
    // A connection that was in use a moment ago needs no question whether it is still there, which would be a round trip each time.
    let pool = PgPoolOptions::new().test_before_acquire(false).before_acquire(|connection, last| {
        Box::pin(async move {
            if last.idle_for > TRUSTED {
                connection.ping().await?;
            }
            Ok(true)
        })
    });
    let pool = pool.after_release(|connection, _| {
        Box::pin(async move {
            // Whoever was cancelled in the middle of a statement has left it running. Without its connection the server ends it.
            let may_be_busy = rpc::was_cancelled_within(LATELY);
            Ok(!may_be_busy || timeout(ABANDONED, connection.ping()).await.is_ok_and(|pinged| pinged.is_ok()))
        })
    });
    Ok(pool.max_connections(max).min_connections(1).acquire_timeout(Duration::from_secs(3)).connect_lazy_with(options))
}

/// Brings the shared tables and the service's own up to date in the schema that `url`'s role owns. What a newer version has added already stays:
/// a schema is expanded before the programs that use it come, and may outlive them.
///
/// # Errors
/// [`Error`]; nothing of a failed migration stays.
pub async fn migrate(url: &Secret, own: &Migrator) -> Result<(), Error> {
    let options: PgConnectOptions = url.expose().parse().map_err(Error::Url)?;
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    let mut shared = Migrator { migrations: SHARED.migrations.clone(), ..Migrator::DEFAULT };
    shared.dangerous_set_table_name("_shared_migrations");
    let mut own = Migrator { migrations: own.migrations.clone(), ..Migrator::DEFAULT };
    for migrations in [shared.set_ignore_missing(true), own.set_ignore_missing(true)] {
        migrations.run(&pool).await?;
    }
    pool.close().await;
    Ok(())
}

/// A readiness check: the database answers.
///
/// # Errors
/// The database's own words.
pub async fn ping(pool: PgPool) -> Result<(), String> {
    sqlx::query("SELECT 1").execute(&pool).await.map(drop).map_err(|error| error.to_string())
}

/// Whether a call failed because the database is away or busy, so that a repeat makes sense: the connection is the problem, or by its
/// SQLSTATE the server is stopping, starting or full (57P, 53), the transaction was rolled back (40), or it waited too long (55P03, 57014).
#[must_use]
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    if matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_)) {
        return true;
    }
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["57P", "53", "40", "55P03", "57014"].iter().any(|class| code.starts_with(class)))
}
