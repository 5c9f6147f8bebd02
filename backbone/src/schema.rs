//! `backbone schema`: changes of a service's tables in both regions while traffic runs.
//!
//! ```text
//! tried in both, undone ─> mirrored columns named ─> older rows taken in ─> changed in both ─> all columns mirrored again
//! ```
//! The other region stops taking in a table's rows when they have a column that it lacks, and orders wait for it. So while one region has a column and
//! the other has not, the publications name those that both have, before and after. What was written before that has all columns whenever it is sent,
//! so nothing is changed until the other region has it.

mod mirrored;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Subcommand;
use ids::Region;
use serde_json::json;
use sqlx::{
    PgConnection,
    migrate::{Migrate as _, MigrateError, Migration, Migrator},
};
use tokio::time::{Instant, sleep};

use self::mirrored::Mirrored;
use crate::{
    engine::postgres::databases::run as execute,
    exit::Exit,
    home::Home,
    output::{line, problem, table},
    sources::Sources,
};

/// Where migrations are noted.
const APPLIED: &str = "_sqlx_migrations";
/// A change that has not got its locks by then lets those go on who wait behind it, and asks again. Whoever needs its table waits while a statement runs.
const LIMITS: &str = "SET lock_timeout = '300ms'; SET statement_timeout = '5s'";
/// What runs outside of a transaction keeps nobody waiting: indexes that are built concurrently.
const NO_LIMITS: &str = "SET lock_timeout = 0; SET statement_timeout = 0";
const ASK_AGAIN: Duration = Duration::from_millis(200);
const GIVE_UP: Duration = Duration::from_secs(60);
/// PostgreSQL's code for a lock that was not to be had in time.
const NO_LOCK: &str = "55P03";

/// What can be done with schemas.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Action {
    /// Show which migrations each region has, by service.
    List,
    /// Apply the migrations of a folder that a service's schema does not have yet, in both regions, while it is in use.
    #[command(
        after_help = "Examples:\n  backbone schema apply order services/order/migrations\n  backbone schema apply order new --dry-run\n\n\
                            Files are named <version>_<description>.sql, as in a service's own folder; those that are applied already are left out,\n\
                            so a run that was broken off is run again. Each is tried in both regions before anything stays.\n\n\
                            First expand: add columns and tables that running programs need not know. Then replace the programs. Then contract:\n\
                            drop what nobody uses any more. A change that writes a mirrored table anew is refused: it would hold up every order,\n\
                            and its rows could differ between the regions. A new mirrored table is heard by the other region after the next `up`."
    )]
    Apply {
        /// Whose tables: cart, inventory, order, payment.
        service: String,
        /// Where the migrations are.
        folder: PathBuf,
        /// Try them, and leave everything as it is.
        #[arg(long)]
        dry_run: bool,
    },
}

/// A migration that was tried and not applied, and where it is lacking.
type Missing<'m> = (&'m Migration, Vec<Region>);

/// Does it.
///
/// # Errors
/// When a region's database is away, or refuses.
pub async fn run(home: &Home, action: Action, json: bool) -> Result<Exit> {
    let sources = Sources::of(home)?;
    let both = [sources.connect(Region::Eu).await?, sources.connect(Region::Us).await?];
    match action {
        Action::List => list(both, json).await,
        Action::Apply { service, folder, dry_run } => {
            let migrations = Migrator::new(folder.as_path()).await.with_context(|| format!("read {}", folder.display()))?;
            ensure!(migrations.iter().next().is_some(), "there is no migration in {}", folder.display());
            apply(both, &service, &migrations, dry_run, json).await
        }
    }
}

/// Versions by service, and in which regions they are.
async fn list(mut both: [PgConnection; 2], json: bool) -> Result<Exit> {
    let mut found: BTreeMap<(String, i64, String), [bool; 2]> = BTreeMap::new();
    for (index, connection) in both.iter_mut().enumerate() {
        let schemas: Vec<String> = sqlx::query_scalar("SELECT schemaname::text FROM pg_tables WHERE tablename = $1")
            .bind(APPLIED)
            .fetch_all(&mut *connection)
            .await?;
        for schema in schemas {
            enter(connection, &schema).await?;
            let applied: Vec<(i64, String)> =
                sqlx::query_as("SELECT version, description FROM _sqlx_migrations WHERE success").fetch_all(&mut *connection).await?;
            leave(connection).await?;
            for (version, description) in applied {
                found.entry((schema.clone(), version, description)).or_default()[index] = true;
            }
        }
    }
    if json {
        let rows = found.iter().map(|((service, version, description), [eu, us])| {
            json!({ "service": service, "version": version, "description": description, "eu": eu, "us": us })
        });
        line(serde_json::Value::Array(rows.collect()));
    } else {
        let mark = |is_there: bool| if is_there { "yes" } else { "-" }.to_owned();
        let mut rows = vec![["SERVICE", "VERSION", "DESCRIPTION", "EU", "US"].map(str::to_owned).to_vec()];
        rows.extend(found.iter().map(|((service, version, description), [eu, us])| {
            vec![service.clone(), version.to_string(), description.clone(), mark(*eu), mark(*us)]
        }));
        line(table(&rows));
    }
    let differ = found.values().any(|[eu, us]| eu != us);
    if differ {
        problem("the regions differ: run `backbone schema apply` again, or `backbone up`");
    }
    Ok(if differ { Exit::Failed } else { Exit::Ok })
}

async fn apply(mut both: [PgConnection; 2], service: &str, migrations: &Migrator, dry_run: bool, json: bool) -> Result<Exit> {
    let (mut done, mut only_tried) = (Vec::new(), Vec::new());
    for connection in &mut both {
        execute(connection, LIMITS.to_owned()).await?;
        ensure!(Mirrored::has_schema(connection, service).await?, "no service is called {service:?}: see `backbone schema list`");
    }
    for migration in migrations.iter().filter(|migration| !migration.migration_type.is_down_migration()) {
        let mut lacking = Vec::new();
        for (region, connection) in Region::ALL.into_iter().zip(&mut both) {
            if !is_applied(connection, service, migration).await.with_context(|| format!("look at {region}'s migrations"))? {
                lacking.push(region);
            }
        }
        if lacking.is_empty() {
            continue;
        }
        let name = format!("{} {}", migration.version, migration.description);
        let begun = Instant::now();
        let publications = tried_in_both(&mut both, &lacking, service, &only_tried, migration).await.with_context(|| name.clone())?;
        if dry_run {
            only_tried.push((migration, lacking.clone()));
        } else {
            change(&mut both, &publications, &lacking, service, migration).await.with_context(|| name.clone())?;
        }
        let regions: Vec<_> = lacking.iter().map(|region| region.as_str()).collect();
        if !json {
            let what = if dry_run { "would be applied" } else { "applied" };
            line(format!("{service} {name}: {what} in {} ({} ms)", regions.join(" and "), begun.elapsed().as_millis()));
        }
        done.push(json!({ "version": migration.version, "description": migration.description, "regions": regions }));
    }
    if !dry_run {
        mirror_all(&mut both, service).await?;
    }
    if json {
        line(json!({ "service": service, "dry_run": dry_run, "applied": done }));
    } else if done.is_empty() {
        line(format!("{service} has them all, in both regions"));
    }
    Ok(Exit::Ok)
}

/// What each region has to publish while the migration is applied. It is tried, after those `before` it, where it is lacking, and undone.
async fn tried_in_both(
    both: &mut [PgConnection; 2],
    lacking: &[Region],
    service: &str,
    before: &[Missing<'_>],
    migration: &Migration,
) -> Result<Vec<Mirrored>> {
    let mut states = Vec::new();
    for (region, connection) in Region::ALL.into_iter().zip(&mut *both) {
        let state = if lacking.contains(&region) && !migration.no_tx {
            let before: Vec<_> = before.iter().filter(|missing| missing.1.contains(&region)).map(|missing| missing.0).collect();
            patiently(connection, async |connection| tried(connection, service, &before, migration).await)
                .await
                .with_context(|| format!("{region} would refuse it, and nothing was changed"))?
        } else {
            let now = Mirrored::read(connection, service).await?;
            (now.clone(), now)
        };
        ensure_not_rewritten(&state.0, &state.1)?;
        states.push(state);
    }
    Ok(Mirrored::meanwhile(&states))
}

/// One migration in the regions that lack it.
async fn change(
    both: &mut [PgConnection; 2],
    publications: &[Mirrored],
    lacking: &[Region],
    service: &str,
    migration: &Migration,
) -> Result<()> {
    for ((region, connection), publications) in Region::ALL.into_iter().zip(&mut *both).zip(publications) {
        patiently(connection, async |connection| publications.publish(connection).await)
            .await
            .with_context(|| format!("name {region}'s mirrored columns"))?;
    }
    for (region, connection) in Region::ALL.into_iter().zip(&mut *both) {
        mirrored::taken_in(connection, GIVE_UP).await.with_context(|| {
            format!("wait until {region}'s older rows are in the other region; run this again when the cause is mended")
        })?;
    }
    for region in lacking {
        let connection = &mut both[*region as usize];
        patiently(connection, async |connection| applied(connection, service, migration).await)
            .await
            .with_context(|| format!("apply it in {region}; run this again when the cause is mended"))?;
    }
    Ok(())
}

/// Both have the same columns again, so none has to be kept back: also those of a run that was broken off.
async fn mirror_all(both: &mut [PgConnection; 2], service: &str) -> Result<()> {
    let mut columns = Vec::new();
    for connection in &mut *both {
        columns.push(Mirrored::read(connection, service).await?);
    }
    ensure!(
        columns[0].is_like(&columns[1]),
        "the mirrored tables of the regions differ, so new columns are not mirrored: see `backbone schema list`"
    );
    for (region, connection) in Region::ALL.into_iter().zip(&mut *both) {
        let all = async |connection: &mut PgConnection| {
            let now = Mirrored::read(connection, service).await?;
            if now.is_narrowed() { now.widened().publish(connection).await } else { Ok(()) }
        };
        patiently(connection, all).await.with_context(|| format!("mirror all of {region}'s columns; run this again"))?;
    }
    Ok(())
}

fn ensure_not_rewritten(before: &Mirrored, after: &Mirrored) -> Result<()> {
    if let Some(table) = before.rewritten(after) {
        bail!(
            "it writes all rows of {table} anew, which would hold up whoever needs it: add the column without a default that is computed, and fill it later"
        );
    }
    Ok(())
}

/// The mirrored columns before a migration and after it, when those that come first have run. All is undone.
async fn tried(connection: &mut PgConnection, service: &str, first: &[&Migration], migration: &Migration) -> Result<(Mirrored, Mirrored)> {
    execute(connection, "BEGIN".to_owned()).await?;
    let outcome = async {
        enter(connection, service).await?;
        for first in first.iter().filter(|first| !first.no_tx) {
            sqlx::raw_sql(first.sql.clone()).execute(&mut *connection).await?;
        }
        leave(connection).await?;
        let before = Mirrored::read(connection, service).await?;
        enter(connection, service).await?;
        sqlx::raw_sql(migration.sql.clone()).execute(&mut *connection).await?;
        leave(connection).await?;
        anyhow::Ok((before, Mirrored::read(connection, service).await?))
    };
    let outcome = outcome.await;
    execute(connection, "ROLLBACK".to_owned()).await?;
    outcome
}

async fn applied(connection: &mut PgConnection, service: &str, migration: &Migration) -> Result<()> {
    enter(connection, service).await?;
    if migration.no_tx {
        execute(connection, NO_LIMITS.to_owned()).await?;
    }
    let outcome = connection.apply(APPLIED, migration).await;
    leave(connection).await?;
    execute(connection, LIMITS.to_owned()).await?;
    outcome.map(drop).map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => other.into(),
    })
}

async fn is_applied(connection: &mut PgConnection, service: &str, migration: &Migration) -> Result<bool> {
    enter(connection, service).await?;
    let applied = connection.list_applied_migrations(APPLIED).await;
    leave(connection).await?;
    let applied = applied?.into_iter().find(|applied| applied.version == migration.version);
    if let Some(applied) = &applied {
        let is_same = applied.checksum == migration.checksum;
        ensure!(is_same, "version {} was applied with another content: give this one a new version", migration.version);
    }
    Ok(applied.is_some())
}

/// Speaks as the service from now on.
async fn enter(connection: &mut PgConnection, service: &str) -> Result<()> {
    let service = mirrored::quoted(service);
    execute(connection, format!("SET ROLE {service}; SET search_path = {service}")).await
}

async fn leave(connection: &mut PgConnection) -> Result<()> {
    execute(connection, "RESET ROLE; RESET search_path".to_owned()).await
}

/// Again and again while the locks are taken.
async fn patiently<T>(connection: &mut PgConnection, mut attempt: impl AsyncFnMut(&mut PgConnection) -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    loop {
        match attempt(connection).await {
            Err(error) if is_locked(&error) && begun.elapsed() < GIVE_UP => sleep(ASK_AGAIN).await,
            outcome => return outcome,
        }
    }
}

fn is_locked(error: &anyhow::Error) -> bool {
    let code = |error: &sqlx::Error| error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == NO_LOCK);
    error.chain().filter_map(|cause| cause.downcast_ref()).any(code)
}
