//! PostgreSQL: one primary per region. First `initdb`, then the server; roles and schemas in [`databases`].
//!
//! Both programs refuse to run as root: see [`unprivileged`].

pub mod databases;
mod unprivileged;

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use config::Checkout;
use ids::Region;
use rustix::process::Signal;
use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use tokio::process::Command;
use unprivileged::Nobody;

use super::Context;
use crate::{plan::Part, process, process::Launch};

const VERSION: &str = "18";

fn program(context: &Context, part: &Part, name: &str) -> Launch {
    let program = context.installed.postgres().join("bin").join(name);
    let mut launch = match Nobody::when_root() {
        Ok(Some(nobody)) => nobody.launch(&program, &context.home.data(part)),
        _ => Launch::new(program),
    };
    launch.env.insert("TZ".to_owned(), "UTC".to_owned());
    launch.env.insert("LC_ALL".to_owned(), "C.UTF-8".to_owned());
    launch
}

/// At the first start makes the data folder; later sees to it that no server, and no trace of a killed one, is in it.
pub(super) async fn prepare(context: &Context, part: &Part) -> Result<()> {
    let data = context.home.data(part);
    if !data.exists() {
        return initialise(context, part, &data).await;
    }
    let version = fs::read_to_string(data.join("PG_VERSION")).with_context(|| format!("read {}", data.join("PG_VERSION").display()))?;
    if version.trim() != VERSION {
        bail!("{} was made by PostgreSQL {}, this is {VERSION}: `backbone down --purge` and start anew", data.display(), version.trim());
    }
    evict(&data).await?;
    match fs::remove_file(data.join("postmaster.pid")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("remove a stale postmaster.pid"),
        _ => Ok(()),
    }
}

/// Every process of a server works in its data folder. Those that a killed server left behind must be gone before the next starts.
async fn evict(data: &Path) -> Result<()> {
    for (wait, signal) in [(2, Signal::INT), (5, Signal::KILL), (5, Signal::KILL)] {
        let found = process::working_in(data);
        if found.is_empty() {
            return Ok(());
        }
        tracing::warn!(?found, "processes of an earlier server still run");
        found.iter().for_each(|&pid| process::signal(pid, signal));
        let gone = async {
            while !process::working_in(data).is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(wait), gone).await;
    }
    match process::working_in(data).as_slice() {
        [] => Ok(()),
        left => bail!("processes {left:?} still use {}: stop them", data.display()),
    }
}

/// `initdb` into a folder beside it, renamed when it is whole.
async fn initialise(context: &Context, part: &Part, data: &Path) -> Result<()> {
    let unfinished = data.with_extension("new");
    let password = data.with_extension("password");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).with_context(|| format!("remove {}", unfinished.display()))?;
    }
    fs::create_dir(&unfinished).with_context(|| format!("create {}", unfinished.display()))?;
    let _ = fs::remove_file(&password);
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&password).context("write the password file")?;
    file.write_all(context.settings.secrets.superuser.as_bytes())?;
    if let Some(nobody) = Nobody::when_root()? {
        nobody.give(&unfinished)?;
        nobody.give(&password)?;
    }
    // --no-sync saves the seconds that matter here; the server itself syncs every commit.
    let launch = program(context, part, "initdb")
        .args(["--no-sync", "--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"])
        .args([format!("--pwfile={}", password.display()), format!("--pgdata={}", unfinished.display())]);
    let output = Command::new(&launch.program).args(&launch.args).envs(&launch.env).current_dir("/").output().await;
    let _ = fs::remove_file(&password);
    let output = output.context("start initdb")?;
    if !output.status.success() {
        bail!("initdb failed: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    fs::rename(&unfinished, data).with_context(|| format!("put {} in place", data.display()))
}

pub(super) fn launch(context: &Context, part: &Part) -> Launch {
    let port = format!("port={}", part.port());
    let settings = [
        port.as_str(),
        "listen_addresses=127.0.0.1",
        // No socket file: its path may be longer than a socket address can hold.
        "unix_socket_directories=",
        "wal_level=logical",
        "max_connections=200",
        "shared_buffers=64MB",
        "max_wal_size=512MB",
        "max_slot_wal_keep_size=2GB",
        // How soon the server gives up a reader that is gone without a word, so that the next one may have its slot.
        "wal_sender_timeout=15s",
        // Two regions' subscriptions and the relays: the defaults (10 slots, 4 apply workers) are too few.
        "max_wal_senders=32",
        "max_replication_slots=32",
        "max_active_replication_origins=32",
        "max_worker_processes=32",
        "max_logical_replication_workers=16",
        // How soon a subscription tries again when the other region comes back.
        "wal_retrieve_retry_interval=500ms",
        "jit=off",
        "log_checkpoints=off",
        "log_line_prefix=%m [%p] %q%u ",
    ];
    // None by default: one that nobody decides holds its locks, and its rows from being cleaned up, for ever.
    let prepared = format!("max_prepared_transactions={}", if context.plan.checkout == Checkout::TwoPhase { 100 } else { 0 });
    let data = context.home.data(part).display().to_string();
    let launch = program(context, part, "postgres").args(["-D".to_owned(), data, "-c".to_owned(), prepared]);
    launch.args(settings.iter().flat_map(|setting| ["-c", setting]))
}

/// Connects as the superuser.
///
/// # Errors
/// When it cannot.
pub async fn connect(context: &Context, region: Region, database: &str) -> Result<PgConnection> {
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(context.plan.ports.postgres(region))
        .username("postgres")
        .password(&context.settings.secrets.superuser)
        .database(database)
        .application_name("backbone")
        // What is set up here must not wait for the other region, which may be on its way up.
        .options([("synchronous_commit", "local")])
        .disable_statement_logging();
    options.connect().await.with_context(|| format!("connect to {region}'s database {database}"))
}

pub(super) async fn probe(context: &Context, part: &Part) -> Result<()> {
    let region = part.place.as_str().parse()?;
    let mut connection = connect(context, region, "postgres").await?;
    connection.ping().await?;
    Ok(connection.close().await?)
}
