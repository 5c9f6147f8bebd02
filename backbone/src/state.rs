//! What runs now: written to `state.json` by the supervisor at each change, read by everybody else.

use std::{
    collections::BTreeSet,
    sync::Mutex,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    home::{self, Home},
    plan::{Action, Part, Plan},
    process,
};

/// Where the whole stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// On the way up.
    Starting,
    /// Everything answers.
    Ready,
    /// On the way down.
    Stopping,
    /// Could not start; `failure` says why.
    Failed,
    /// Stopped in good order.
    Stopped,
}

/// Where one part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    /// Waits for what it needs.
    Waiting,
    /// Runs, does not answer yet.
    Starting,
    /// Answers.
    Ready,
    /// Runs, but does not answer any more.
    Unready,
    /// Died and comes back.
    Restarting,
    /// Did not start.
    Failed,
    /// Was stopped.
    Stopped,
}

impl PartState {
    /// The word shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Unready => "unready",
            Self::Restarting => "restarting",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// The supervisor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SupervisorEntry {
    /// Process id.
    pub pid: u32,
    /// Start time of the process, to tell it from a later one with its id.
    pub started_ticks: u64,
    /// Milliseconds since 1970.
    pub started_at: u64,
    /// Where the whole stands.
    pub phase: Phase,
    /// Milliseconds from the start until everything answered.
    pub ready_ms: Option<u64>,
    /// Why it could not start, with what to do.
    pub failure: Option<String>,
}

/// One part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PartEntry {
    /// Name within its region.
    pub name: String,
    /// `eu`, `us` or `global`.
    pub region: String,
    /// Process id, while it runs.
    pub pid: Option<u32>,
    /// Start time of the process in clock ticks since boot.
    pub started_ticks: u64,
    /// The port that others call.
    pub port: u16,
    /// All ports.
    pub ports: Vec<u16>,
    /// Where it stands.
    pub state: PartState,
    /// How often it was restarted.
    pub restarts: u32,
    /// Milliseconds from its launch to its first answer.
    pub ready_ms: Option<u64>,
    /// Parts stop from the highest layer down.
    pub layer: u8,
}

impl PartEntry {
    /// `eu/order`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.region, self.name)
    }

    /// The process, if it is still the one that was started.
    #[must_use]
    pub fn living(&self) -> Option<u32> {
        self.pid.filter(|&pid| process::is(pid, self.started_ticks))
    }
}

/// A thing done once on the way up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobEntry {
    /// `mirror`, `eu/topics`.
    pub id: String,
    /// How long it took, when done.
    pub took_ms: Option<u64>,
}

/// The file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// The supervisor.
    pub supervisor: SupervisorEntry,
    /// Every process.
    pub parts: Vec<PartEntry>,
    /// Every job.
    pub jobs: Vec<JobEntry>,
}

impl State {
    /// Reads it; `None` when there is none (or not a whole one, which only a full disk can leave).
    #[must_use]
    pub fn read(home: &Home) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(home.state()).ok()?).ok()
    }

    /// The supervisor's process, if it lives.
    #[must_use]
    pub fn living_supervisor(&self) -> Option<u32> {
        Some(self.supervisor.pid).filter(|&pid| process::is(pid, self.supervisor.started_ticks))
    }

    /// Parts that still run.
    #[must_use]
    pub fn living(&self) -> Vec<&PartEntry> {
        self.parts.iter().filter(|part| part.living().is_some()).collect()
    }
}

/// The supervisor's own copy. Every change is on disk before the call returns.
#[derive(Debug)]
pub struct Board {
    home: Home,
    state: Mutex<State>,
    begun: Instant,
    /// Steps that are done.
    done: watch::Sender<BTreeSet<String>>,
}

impl Board {
    /// A board on which everything waits.
    #[must_use]
    pub fn new(home: Home, plan: &Plan) -> Self {
        let pid = std::process::id();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let supervisor = SupervisorEntry {
            pid,
            started_ticks: process::started_ticks(pid).unwrap_or_default(),
            started_at: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            phase: Phase::Starting,
            ready_ms: None,
            failure: None,
        };
        let parts = plan.parts().map(PartEntry::waiting).collect();
        let jobs = plan.steps.iter().filter(|step| matches!(step.action, Action::Do(_)));
        let jobs = jobs.map(|step| JobEntry { id: step.id.clone(), took_ms: None }).collect();
        let board =
            Self { home, state: Mutex::new(State { supervisor, parts, jobs }), begun: Instant::now(), done: watch::Sender::default() };
        board.change(|_| ());
        board
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().expect("no holder of this lock panics");
        let out = change(&mut state);
        let written = serde_json::to_vec_pretty(&*state).map_err(Into::into);
        if let Err(error) = written.and_then(|bytes| home::write_atomically(&self.home.state(), 0o644, &bytes)) {
            tracing::error!(error = %format!("{error:#}"), "cannot write the state file");
        }
        out
    }

    fn change_part(&self, part: &Part, change: impl FnOnce(&mut PartEntry)) {
        self.change(|state| {
            let entry = state.parts.iter_mut().find(|entry| entry.name == part.name && entry.region == part.place.as_str());
            change(entry.expect("every part of the plan is on the board"));
        });
    }

    /// A copy.
    #[must_use]
    pub fn snapshot(&self) -> State {
        self.state.lock().expect("no holder of this lock panics").clone()
    }

    /// A part's process was launched.
    pub fn launched(&self, part: &Part, pid: u32) {
        self.change_part(part, |entry| {
            entry.pid = Some(pid);
            entry.started_ticks = process::started_ticks(pid).unwrap_or_default();
            entry.state = if entry.restarts == 0 { PartState::Starting } else { PartState::Restarting };
        });
    }

    /// A part answers.
    pub fn answers(&self, part: &Part, took: std::time::Duration) {
        self.change_part(part, |entry| {
            entry.state = PartState::Ready;
            entry.ready_ms = entry.ready_ms.or_else(|| millis(took));
        });
        self.finish_step(&part.id());
    }

    /// A part that has answered does so no more, or again.
    pub fn still_answers(&self, part: &Part, answers: bool) {
        self.change_part(part, |entry| entry.state = if answers { PartState::Ready } else { PartState::Unready });
    }

    /// A part's process is gone.
    pub fn gone(&self, part: &Part, next: PartState) {
        self.change_part(part, |entry| {
            entry.pid = None;
            entry.state = next;
            if next == PartState::Restarting {
                entry.restarts += 1;
            }
        });
    }

    /// A job is done.
    pub fn job_done(&self, id: &str, took: std::time::Duration) {
        self.change(|state| {
            if let Some(job) = state.jobs.iter_mut().find(|job| job.id == id) {
                job.took_ms = millis(took);
            }
        });
        self.finish_step(id);
    }

    fn finish_step(&self, id: &str) {
        self.done.send_if_modified(|done| done.insert(id.to_owned()));
    }

    /// Waits until all these steps are done.
    pub async fn wait_for(&self, needs: &[String]) {
        let mut done = self.done.subscribe();
        let _ = done.wait_for(|done| needs.iter().all(|need| done.contains(need))).await;
    }

    /// Where the whole stands now.
    pub fn phase(&self, phase: Phase) {
        self.change(|state| {
            state.supervisor.phase = phase;
            if phase == Phase::Ready {
                state.supervisor.ready_ms = millis(self.begun.elapsed());
            }
        });
    }

    /// It could not start. The first reason stays.
    pub fn failed(&self, reason: &str) {
        self.change(|state| {
            state.supervisor.failure.get_or_insert_with(|| reason.to_owned());
        });
    }
}

impl PartEntry {
    fn waiting(part: &Part) -> Self {
        Self {
            name: part.name.clone(),
            region: part.place.as_str().to_owned(),
            pid: None,
            started_ticks: 0,
            port: part.port(),
            ports: part.ports.iter().map(|port| port.number).collect(),
            state: PartState::Waiting,
            restarts: 0,
            ready_ms: None,
            layer: part.layer(),
        }
    }
}

fn millis(duration: std::time::Duration) -> Option<u64> {
    u64::try_from(duration.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Ports;

    #[test]
    fn a_leftover_is_told_from_a_later_process_with_its_id() {
        let plan = Plan::new(Ports::default(), 1, true);
        let mut entry = PartEntry::waiting(plan.parts().next().unwrap());
        let me = std::process::id();
        entry.pid = Some(me);
        entry.started_ticks = process::started_ticks(me).unwrap();
        assert_eq!(entry.living(), Some(me));
        entry.started_ticks += 1;
        assert_eq!(entry.living(), None);
    }
}
