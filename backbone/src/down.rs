//! `down`: asks the supervisor to stop everything; when it is gone, does it from what the supervisor wrote down.

use std::{net::TcpListener, time::Duration};

use anyhow::{Context, Result, bail};
use futures::future::join_all;
use rustix::process::Signal;

use crate::{
    exit::Exit,
    home::Home,
    output::{line, seconds},
    process::{self, wait_gone},
    state::{PartEntry, State},
    supervisor::stop_signal,
};

/// What a home consists of; `--purge` removes these and nothing else.
const CONTENT: [&str; 6] = ["lock", "state.json", "settings.json", "config", "logs", "data"];

/// Five layers at ten seconds of grace each, and some.
const PATIENCE: Duration = Duration::from_secs(70);

/// Stops everything that runs in a home, and removes the home with `purge`.
///
/// # Errors
/// When something cannot be stopped.
pub async fn down(home: &Home, purge: bool) -> Result<Exit> {
    let begun = std::time::Instant::now();
    let state = State::read(home);
    let mut stopped = false;
    if let Some(state) = &state {
        if let Some(pid) = state.living_supervisor() {
            line(format_args!("stopping {} processes ...", state.living().len()));
            process::signal(pid, Signal::TERM);
            // One that somebody has stopped hears nothing until it goes on.
            process::signal(pid, Signal::CONT);
            if !wait_gone(pid, state.supervisor.started_ticks, PATIENCE).await {
                bail!("the supervisor, pid {pid}, does not stop: `kill -9 {pid}`, then `backbone down` again");
            }
            stopped = true;
        }
        // Read again: parts may have been restarted since.
        let state = State::read(home).unwrap_or_else(|| state.clone());
        stopped |= stop_leftovers(&state).await > 0;
        if stopped {
            wait_ports(&state).await?;
        }
    }
    if home.is_locked()? {
        bail!("a supervisor that is just starting holds {}: try again in a moment", home.path().join("lock").display());
    }
    let at = home.path().display();
    if stopped {
        line(format_args!("stopped in {}", seconds(begun.elapsed())));
    } else {
        line(format_args!("nothing runs in {at}"));
    }
    if purge {
        remove(home).with_context(|| format!("remove {at}"))?;
        line(format_args!("removed {at}"));
    }
    Ok(Exit::Ok)
}

/// Stops parts whose supervisor is gone, from the top layer down. Returns how many there were.
pub async fn stop_leftovers(state: &State) -> usize {
    let left = state.living();
    if !left.is_empty() {
        line(format_args!("stopping {} processes that an earlier run left behind", left.len()));
    }
    for layer in (0..=left.iter().map(|part| part.layer).max().unwrap_or_default()).rev() {
        join_all(left.iter().filter(|part| part.layer == layer).map(|part| stop(part))).await;
    }
    left.len()
}

async fn stop(part: &PartEntry) {
    let Some(pid) = part.living() else { return };
    process::signal(pid, stop_signal(&part.name));
    process::signal(pid, Signal::CONT);
    if !wait_gone(pid, part.started_ticks, Duration::from_secs(10)).await {
        process::signal(pid, Signal::KILL);
        wait_gone(pid, part.started_ticks, Duration::from_secs(10)).await;
    }
}

async fn wait_ports(state: &State) -> Result<()> {
    let taken = || state.parts.iter().flat_map(|part| &part.ports).copied().find(|&port| TcpListener::bind(("127.0.0.1", port)).is_err());
    for _ in 0..100 {
        if taken().is_none() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    match taken() {
        None => Ok(()),
        Some(port) => bail!("everything is stopped, but port {port} is still held by another program"),
    }
}

fn remove(home: &Home) -> std::io::Result<()> {
    for name in CONTENT {
        let path = home.path().join(name);
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match std::fs::remove_dir(home.path()) {
        // Somebody keeps other files there: they stay.
        Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty || error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
