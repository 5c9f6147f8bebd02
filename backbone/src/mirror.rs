//! The mirror: each region's database subscribes to what the other publishes.
//!
//! A service's migrations make publications named `<something>_mirror`; here the other region gets one subscription for all of them,
//! `market_from_<region>`: it has a prefix of what was committed here, and whoever waits for one commit waits for all before it. `origin = none` keeps a row from travelling back. `synchronous_commit = local` makes an applied
//! commit flush at once: at the default (off) a commit that waits for this region would wait for the WAL writer, 200 ms.
//! A subscription reaches its publisher through the link between the regions.

mod fill;

use anyhow::{Context as _, Result};
use ids::Region;
use sqlx::{Connection, PgConnection};

use crate::engine::{
    Context,
    postgres::{
        connect,
        databases::{MARKET, exists, run},
    },
};

/// A subscription that cannot be made within this is a reason not to start: the link is cut, or very slow.
const MADE_WITHIN: &str = "60s";
/// Looking for new tables gives up after this; it takes some round trips.
const REFRESHED_WITHIN: &str = "5s";
const IS_SUBSCRIBED: &str = "SELECT 1 FROM pg_subscription WHERE subname = $1";
/// PostgreSQL's code for a statement that took too long.
const CANCELLED: &str = "57014";

/// Makes missing subscriptions in both regions and tells existing ones where the other region is now.
///
/// One after the other: a subscription being made waits for the open transactions of the publisher, so two that are made crosswise
/// can wait for each other.
///
/// # Errors
/// When a statement fails.
pub async fn ensure(context: &Context) -> Result<()> {
    let mut eu = connect(context, Region::Eu, MARKET).await?;
    let mut us = connect(context, Region::Us, MARKET).await?;
    subscribe(context, Region::Eu, &mut eu, &mut us).await?;
    subscribe(context, Region::Us, &mut us, &mut eu).await?;
    let _ = tokio::join!(eu.close(), us.close());
    Ok(())
}

/// `to` subscribes to what `from`, the database of region `publisher`, publishes.
async fn subscribe(context: &Context, publisher: Region, from: &mut PgConnection, to: &mut PgConnection) -> Result<()> {
    let publications: Vec<String> =
        sqlx::query_scalar("SELECT pubname::text FROM pg_publication WHERE pubname LIKE '%\\_mirror' ORDER BY pubname")
            .fetch_all(&mut *from)
            .await
            .with_context(|| format!("list {publisher}'s publications"))?;
    let address = format!(
        "host=127.0.0.1 port={} dbname={MARKET} user=postgres password={}",
        context.plan.ports.across(publisher.peer(), "postgres"),
        context.settings.secrets.superuser
    );
    let name = format!("market_from_{publisher}");
    // As it was called when orders alone were mirrored.
    let before = format!("order_mirror_from_{publisher}");
    if exists(to, IS_SUBSCRIBED, &before).await? {
        run(to, format!("ALTER SUBSCRIPTION \"{before}\" RENAME TO \"{name}\"")).await?;
    }
    let known: Option<(bool, Vec<String>)> = sqlx::query_as("SELECT subenabled, subpublications FROM pg_subscription WHERE subname = $1")
        .bind(&name)
        .fetch_optional(&mut *to)
        .await
        .context("look for the subscription")?;
    let (is_enabled, heard) = known.clone().unwrap_or_default();
    if known.is_some() {
        run(to, format!("ALTER SUBSCRIPTION \"{name}\" CONNECTION '{address}'")).await?;
    } else {
        create(from, to, &publications, &name, &address).await?;
    }
    let new: Vec<&String> = publications.iter().filter(|publication| !is_enabled || !heard.contains(publication)).collect();
    for publication in &new {
        // New, or made by an `up` that was killed before it came here.
        let rows = fill::missing_rows(from, to, publication).await?;
        if rows > 0 {
            tracing::warn!(subscription = name, %publication, rows, "was missing although there was data: the rows were copied");
        }
    }
    if known.is_some() && !new.is_empty() {
        let all = quoted(&publications);
        ask(
            to,
            MADE_WITHIN,
            format!("ALTER SUBSCRIPTION \"{name}\" SET PUBLICATION {all} WITH (copy_data = false, refresh = {is_enabled})"),
        )
        .await?;
    } else if is_enabled {
        // Takes in tables that a later migration added.
        refresh(to, &name).await?;
    }
    if !is_enabled {
        run(to, format!("ALTER SUBSCRIPTION \"{name}\" ENABLE")).await?;
    }
    Ok(())
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// A link that is cut does not keep the market from starting: tables that are new are then taken in at the next start.
async fn refresh(to: &mut PgConnection, name: &str) -> Result<()> {
    match ask(to, REFRESHED_WITHIN, format!("ALTER SUBSCRIPTION \"{name}\" REFRESH PUBLICATION")).await {
        Err(error) if is_cancelled(&error) => {
            tracing::warn!(subscription = name, "the other region does not answer, so tables that are new there are not looked for");
            Ok(())
        }
        outcome => outcome,
    }
}

/// Runs a statement that speaks to the publisher, which the link may keep from answering.
async fn ask(to: &mut PgConnection, within: &str, statement: String) -> Result<()> {
    run(to, format!("SET statement_timeout = '{within}'")).await?;
    let outcome = run(to, statement).await;
    run(to, "RESET statement_timeout".to_owned()).await?;
    outcome
}

fn is_cancelled(error: &anyhow::Error) -> bool {
    let code = |error: &sqlx::Error| error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == CANCELLED);
    error.chain().filter_map(|cause| cause.downcast_ref()).any(code)
}

/// Makes a subscription that does not run yet. Its slot keeps all that is written from now on.
async fn create(from: &mut PgConnection, to: &mut PgConnection, publications: &[String], name: &str, address: &str) -> Result<()> {
    // A slot of that name without its subscription is what an `up` that was killed here leaves behind.
    if exists(from, "SELECT 1 FROM pg_replication_slots WHERE slot_name = $1 AND NOT active", name).await? {
        run(from, format!("SELECT pg_drop_replication_slot('{name}')")).await?;
    }
    ask(
        to,
        MADE_WITHIN,
        format!(
            "CREATE SUBSCRIPTION \"{name}\" CONNECTION '{address}' PUBLICATION {} \
             WITH (enabled = false, origin = none, copy_data = false, synchronous_commit = local, failover = false)",
            quoted(publications)
        ),
    )
    .await
}
