//! The database `market`, and for each service that owns data a role and a schema of its name. Safe to repeat.

use anyhow::{Context as _, Result};
use ids::Region;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::connect;
use crate::{engine::Context, plan::OWNERS};

/// The database of the market.
pub const MARKET: &str = "market";

/// Makes what is missing in one region and sets the passwords again.
///
/// # Errors
/// When a statement fails.
pub async fn ensure(context: &Context, region: Region) -> Result<()> {
    let mut postgres = connect(context, region, "postgres").await?;
    if !exists(&mut postgres, "SELECT 1 FROM pg_database WHERE datname = $1", MARKET).await? {
        run(&mut postgres, format!("CREATE DATABASE {MARKET}")).await?;
    }
    let _ = postgres.close().await;
    let mut market = connect(context, region, MARKET).await?;
    run(&mut market, format!("REVOKE ALL ON DATABASE {MARKET} FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC")).await?;
    for role in OWNERS {
        if !exists(&mut market, "SELECT 1 FROM pg_roles WHERE rolname = $1", role).await? {
            run(&mut market, format!("CREATE ROLE \"{role}\" LOGIN")).await?;
        }
        run(&mut market, role_sql(role, &context.settings.secrets.roles[role])).await?;
    }
    run(&mut market, store::region::setup(region)).await?;
    run(&mut market, REGION_SQL.to_owned()).await?;
    let _ = market.close().await;
    Ok(())
}

/// What the region service may do beyond its schema: see how the mirror is, say whether commits wait for it, and end those that
/// wait for nothing.
const REGION_SQL: &str = "GRANT pg_monitor, pg_signal_backend TO region;
    GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO region;
    GRANT EXECUTE ON FUNCTION pg_reload_conf() TO region";

/// The role owns its schema and may query no other; it may make publications, which takes CREATE on the database, and read its outbox from the
/// WAL, which takes REPLICATION. `synchronous_commit`
/// is local by default; the commits that wait for the other region say so themselves. `order` is a reserved word: names are quoted.
fn role_sql(role: &str, password: &str) -> String {
    format!(
        "ALTER ROLE \"{role}\" LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{password}';
         ALTER ROLE \"{role}\" SET search_path = \"{role}\";
         ALTER ROLE \"{role}\" SET synchronous_commit = local;
         GRANT CONNECT, CREATE ON DATABASE {MARKET} TO \"{role}\";
         CREATE SCHEMA IF NOT EXISTS \"{role}\" AUTHORIZATION \"{role}\";
         REVOKE ALL ON SCHEMA \"{role}\" FROM PUBLIC"
    )
}

pub(crate) async fn exists(connection: &mut PgConnection, sql: &'static str, name: &str) -> Result<bool> {
    let found: Option<i32> = sqlx::query_scalar(sql).bind(name).fetch_optional(connection).await.with_context(|| sql.to_owned())?;
    Ok(found.is_some())
}

/// Runs statements made of our own constants and generated passwords.
pub(crate) async fn run(connection: &mut PgConnection, sql: String) -> Result<()> {
    let first = sql.split_whitespace().take(4).collect::<Vec<_>>().join(" ");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.with_context(|| format!("run {first} ..."))?;
    Ok(())
}
