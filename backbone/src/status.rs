//! `status`: every process with its state and memory, measured now.

use anyhow::Result;
use serde::Serialize;

use crate::{
    exit::Exit,
    home::Home,
    output::{clock, line, megabytes, seconds, table},
    process::{self, Memory},
    state::{PartState, Phase, State},
};

/// The whole.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `starting`, `ready`, `degraded` (a part is down or does not answer), `stopping`, `failed`, `stopped`.
    pub state: &'static str,
    /// The supervisor.
    pub supervisor_pid: Option<u32>,
    /// Milliseconds it took to be ready.
    pub ready_ms: Option<u64>,
    /// Every process.
    pub processes: Vec<Process>,
    /// Memory of all, in bytes.
    pub rss_bytes: u64,
}

/// One process.
#[derive(Debug, Serialize)]
pub struct Process {
    /// Name within its region.
    pub name: String,
    /// `eu`, `us` or `global`.
    pub region: String,
    /// Process id, while it runs.
    pub pid: Option<u32>,
    /// The port that others call.
    pub port: u16,
    /// Where it stands; `orphaned` when it runs without a supervisor.
    pub state: &'static str,
    /// Seconds since it was launched.
    pub uptime_s: u64,
    /// Its memory with that of its children; a page that n processes share counts 1/n in each.
    pub rss_bytes: u64,
    /// How often it was restarted.
    pub restarts: u32,
}

/// Looks at a home.
#[must_use]
pub fn report(home: &Home) -> Report {
    let Some(state) = State::read(home) else {
        return Report { state: "stopped", supervisor_pid: None, ready_ms: None, processes: Vec::new(), rss_bytes: 0 };
    };
    let supervisor_pid = state.living_supervisor();
    let memory = Memory::look();
    let processes: Vec<_> = state
        .parts
        .iter()
        .map(|part| {
            let pid = part.living();
            let shown = match (supervisor_pid, pid) {
                (None, Some(_)) => "orphaned",
                (None, None) => PartState::Stopped.as_str(),
                (Some(_), _) => part.state.as_str(),
            };
            Process {
                name: part.name.clone(),
                region: part.region.clone(),
                pid,
                port: part.port,
                state: shown,
                uptime_s: pid.and_then(|_| process::uptime(part.started_ticks)).map_or(0, |uptime| uptime.as_secs()),
                rss_bytes: pid.map_or(0, |pid| memory.of(pid)),
                restarts: part.restarts,
            }
        })
        .collect();
    let all_ready = state.parts.iter().all(|part| part.state == PartState::Ready);
    let whole = match (supervisor_pid, state.supervisor.phase) {
        (None, _) | (Some(_), Phase::Stopped) => "stopped",
        (_, Phase::Starting) => "starting",
        (_, Phase::Ready) if all_ready => "ready",
        (_, Phase::Ready) => "degraded",
        (_, Phase::Stopping) => "stopping",
        (_, Phase::Failed) => "failed",
    };
    let rss_bytes = processes.iter().map(|process| process.rss_bytes).sum();
    Report { state: whole, supervisor_pid, ready_ms: state.supervisor.ready_ms, processes, rss_bytes }
}

/// Prints it.
///
/// # Errors
/// Never in practice.
pub fn print(home: &Home, json: bool) -> Result<Exit> {
    let report = report(home);
    if json {
        line(serde_json::to_string_pretty(&report)?);
    } else {
        print_table(home, &report);
    }
    Ok(if report.supervisor_pid.is_some() { Exit::Ok } else { Exit::NotRunning })
}

fn print_table(home: &Home, report: &Report) {
    let Some(pid) = report.supervisor_pid else {
        line(format_args!("nothing runs in {}: `backbone up --detach` starts it", home.path().display()));
        let left = report.processes.iter().filter_map(|process| process.pid).count();
        if left > 0 {
            line(format_args!("{left} processes are left of an earlier run; `backbone up` or `backbone down` stops them"));
        }
        return;
    };
    let head = ["NAME", "REGION", "PID", "PORT", "STATE", "UPTIME", "MEMORY", "RESTARTS"];
    let mut rows = vec![head.iter().map(|cell| (*cell).to_owned()).collect()];
    rows.extend(report.processes.iter().map(|process| {
        vec![
            process.name.clone(),
            process.region.clone(),
            process.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            process.port.to_string(),
            process.state.to_owned(),
            clock(process.uptime_s),
            megabytes(process.rss_bytes),
            process.restarts.to_string(),
        ]
    }));
    line(table(&rows));
    let took = report.ready_ms.map(|ms| format!(", was ready in {}", seconds(std::time::Duration::from_millis(ms)))).unwrap_or_default();
    line(format_args!("\n{}{took}; memory {}; supervisor {pid}", report.state, megabytes(report.rss_bytes)));
}
