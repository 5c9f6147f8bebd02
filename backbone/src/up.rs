//! `up`: checks, then a supervisor in this process, or one that stays when this process has gone.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use config::Checkout;
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing::Level;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::{
    doctor, down,
    engine::Context,
    exit::Exit,
    fetch::{Event, Installed},
    home::Home,
    output::{line, problem, seconds},
    plan::{Place, Plan, Ports},
    preflight, probe,
    process::{rotate, tail},
    state::{Board, PartState, Phase, State},
    supervisor,
};

/// What to start, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// Home folder.
    pub home: PathBuf,
    /// Download cache.
    pub cache: PathBuf,
    /// Port numbers.
    pub ports: Ports,
    /// Brokers in each region.
    pub brokers: u16,
    /// Engines only, with databases and topics.
    pub engines_only: bool,
    /// How orders come to their end.
    pub checkout: Checkout,
    /// Between the regions, there and back, when nothing else was set.
    pub link_latency: Duration,
}

/// Why nothing was started, each with what to do.
#[derive(Debug)]
pub enum Refused {
    /// Another supervisor runs in this home.
    Running(Option<u32>),
    /// Something is missing or taken.
    Unavailable(Vec<String>),
}

impl Refused {
    /// Prints it.
    #[must_use]
    pub fn report(&self) -> Exit {
        match self {
            Self::Running(pid) => {
                let pid = pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
                problem(format_args!("already running{pid}; `backbone status` shows it, `backbone down` stops it"));
                Exit::Failed
            }
            Self::Unavailable(reasons) => {
                problem(format_args!("cannot start:\n  {}", reasons.join("\n  ")));
                Exit::Unavailable
            }
        }
    }
}

/// All that is needed to start, checked.
#[derive(Debug)]
pub struct Prepared {
    context: Context,
    /// Held while the supervisor runs.
    lock: File,
}

/// Takes the lock, fetches what is missing, stops what an earlier supervisor left behind, and checks ports, memory and disk.
///
/// # Errors
/// When a check cannot be made or an engine not be fetched.
pub async fn prepare(options: &Options) -> Result<Result<Prepared, Refused>> {
    let home = Home::at(&options.home)?;
    home.create()?;
    let Some(lock) = home.lock()? else {
        let pid = State::read(&home).and_then(|state| state.living_supervisor());
        return Ok(Err(Refused::Running(pid)));
    };
    let plan = Plan::new(options.ports, options.brokers, options.engines_only).checked_out_by(options.checkout);
    let plan = plan.linked_within(options.link_latency);
    let installed = Installed::new(&options.cache)?;
    if !installed.missing().is_empty() {
        fetch(&installed, false).await?;
    }
    let Some(java) = doctor::java() else {
        return Ok(Err(Refused::Unavailable(vec![format!("java 17 or newer is missing: {}", doctor::JAVA_LINE)])));
    };
    if let Some(state) = State::read(&home) {
        down::stop_leftovers(&state).await;
        // A process that was killed a moment ago may hold its ports a little longer.
        let free = async || if preflight::taken_ports(&plan).is_empty() { Ok(()) } else { Err(anyhow!("ports are held")) };
        let _ = probe::until(Duration::from_secs(3), Duration::from_millis(50), free).await;
    }
    let binaries = std::env::current_exe()?.parent().context("the folder of this program")?.to_owned();
    let refusals = preflight::check(&plan, home.path(), &binaries)?;
    if !refusals.is_empty() {
        return Ok(Err(Refused::Unavailable(refusals.into_iter().map(|refusal| refusal.0).collect())));
    }
    let settings = home.settings(options.brokers)?;
    Ok(Ok(Prepared { context: Context { home, settings, plan, installed, binaries, java }, lock }))
}

/// Fetches with a line of progress for each part.
///
/// # Errors
/// What could not be fetched.
pub async fn fetch(installed: &Installed, verify: bool) -> Result<()> {
    let report = |part: &str, event: Event<'_>| match event {
        Event::Fetching if part == "temporal" => line(format_args!("  {part:<12} fetching and building, some minutes the first time")),
        Event::Fetching => line(format_args!("  {part:<12} fetching")),
        Event::Present => line(format_args!("  {part:<12} present")),
        Event::Done(took) => line(format_args!("  {part:<12} fetched and checked in {}", seconds(took))),
        Event::Damaged(what) => line(format_args!("  {part:<12} {what}: fetched again")),
    };
    installed.fetch(verify, report).await
}

/// `up`: supervises here until Ctrl-C.
///
/// # Errors
/// When it cannot start or has to give up.
pub async fn foreground(options: &Options) -> Result<Exit> {
    match prepare(options).await? {
        Ok(prepared) => supervise_with(prepared, true).await,
        Err(refused) => Ok(refused.report()),
    }
}

/// `supervise`: the process that `up --detach` leaves behind.
///
/// # Errors
/// As [`foreground`].
pub async fn supervise(options: &Options) -> Result<Exit> {
    // Fails only when this process leads a group already; then it is on its own as well.
    let _ = rustix::process::setsid();
    match prepare(options).await? {
        Ok(prepared) => supervise_with(prepared, false).await,
        Err(refused) => Ok(refused.report()),
    }
}

async fn supervise_with(prepared: Prepared, show: bool) -> Result<Exit> {
    let Prepared { context, lock } = prepared;
    log_to(&context.home)?;
    let stop = CancellationToken::new();
    let board = Arc::new(Board::new(context.home.clone(), &context.plan));
    let plan = context.plan.clone();
    let mut running = Box::pin(supervisor::run(Arc::new(context), board.clone(), stop.clone()));
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hangup = signal(SignalKind::hangup())?;
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let mut progress = Progress::default();
    let outcome = loop {
        tokio::select! {
            outcome = &mut running => break outcome,
            _ = interrupt.recv() => { if show { line("stopping ...") } stop.cancel(); }
            _ = terminate.recv() => stop.cancel(),
            // The terminal was closed.
            _ = hangup.recv() => stop.cancel(),
            _ = tick.tick(), if show => {
                let state = board.snapshot();
                progress.show(&state);
                if progress.is_first_ready(&state) {
                    farewell(&state, &plan);
                    line("Ctrl-C stops everything");
                }
            }
        }
    };
    drop(lock);
    match outcome {
        Ok(()) => {
            if show {
                line("stopped");
            }
            Ok(Exit::Ok)
        }
        Err(error) => {
            tracing::error!(error = %format!("{error:#}"), "could not start");
            problem(format_args!("{error:#}"));
            Ok(Exit::Failed)
        }
    }
}

fn log_to(home: &Home) -> Result<()> {
    let path = home.own_log();
    rotate(&path).context("rotate the log")?;
    let file = OpenOptions::new().create(true).append(true).open(&path).with_context(|| format!("open {}", path.display()))?;
    let filter = Targets::new().with_default(Level::WARN).with_target("backbone", Level::INFO);
    let log = tracing_subscriber::fmt::layer().with_writer(std::sync::Mutex::new(file));
    // A second supervisor in one process keeps the first one's log; only tests do that.
    let _ = tracing_subscriber::registry().with(filter).with(log).try_init();
    Ok(())
}

/// `up --detach`: starts a supervisor and waits until everything is ready or it has given up.
///
/// # Errors
/// When it cannot be started.
pub async fn detached(options: &Options) -> Result<Exit> {
    let prepared = match prepare(options).await? {
        Ok(prepared) => prepared,
        Err(refused) => return Ok(refused.report()),
    };
    let Prepared { context, lock } = prepared;
    let home = context.home.clone();
    // What is left there is of an earlier run; the supervisor writes its own when it holds the lock.
    let _ = std::fs::remove_file(home.state());
    drop(lock);
    let mut child = spawn_supervisor(options, &home)?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let mut progress = Progress::default();
    loop {
        tokio::select! {
            _ = interrupt.recv() => {
                line("it goes on starting in the background: `backbone status` shows it, `backbone down` stops it");
                return Ok(Exit::Interrupted);
            }
            status = child.wait() => {
                let failure = State::read(&home).and_then(|state| state.supervisor.failure);
                problem(failure.unwrap_or_else(|| tail(&home.own_log(), 15).join("\n")));
                tracing::debug!(?status, "the supervisor ended");
                return Ok(Exit::Failed);
            }
            _ = tick.tick() => {
                let Some(state) = State::read(&home) else { continue };
                progress.show(&state);
                if progress.is_first_ready(&state) {
                    farewell(&state, &context.plan);
                    return Ok(Exit::Ok);
                }
            }
        }
    }
}

fn spawn_supervisor(options: &Options, home: &Home) -> Result<Child> {
    let path = home.own_log();
    rotate(&path).context("rotate the log")?;
    let log = OpenOptions::new().create(true).append(true).open(&path).with_context(|| format!("open {}", path.display()))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("supervise").arg("--home").arg(home.path()).arg("--cache").arg(&options.cache);
    command.args(["--brokers", &options.brokers.to_string(), "--port-shift", &options.ports.shift.to_string()]);
    if let Some(edge) = options.ports.edge {
        command.args(["--edge-port", &edge.to_string()]);
    }
    if options.engines_only {
        command.arg("--engines-only");
    }
    command.args(["--checkout", options.checkout.as_str()]);
    command.args(["--link-latency", &humantime::format_duration(options.link_latency).to_string()]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(false);
    command.spawn().context("start the supervisor")
}

fn farewell(state: &State, plan: &Plan) {
    let took = Duration::from_millis(state.supervisor.ready_ms.unwrap_or_default());
    line(format_args!("ready in {}", seconds(took)));
    if plan.parts().any(|part| part.name == "edge") {
        line(format_args!("the shop: {}", plan.ports.url(Place::Global, "edge")));
    }
}

/// Shows each step once, when it is done.
#[derive(Debug, Default)]
struct Progress {
    shown: BTreeSet<String>,
}

impl Progress {
    fn show(&mut self, state: &State) {
        for part in &state.parts {
            let took = part.ready_ms.map(Duration::from_millis).filter(|_| part.state == PartState::Ready);
            self.once(&part.id(), took.map(|took| format!("ready  {}", seconds(took))));
            let again = part.restarts > 0 && state.supervisor.phase == Phase::Starting;
            if again && self.shown.insert(format!("{} again", part.id())) {
                line(format_args!("  {:<16} starts again: `backbone logs {}`", part.id(), part.name));
            }
        }
        for job in &state.jobs {
            self.once(&job.id, job.took_ms.map(|took| format!("done   {}", seconds(Duration::from_millis(took)))));
        }
    }

    fn once(&mut self, id: &str, text: Option<String>) {
        if let Some(text) = text
            && self.shown.insert(id.to_owned())
        {
            line(format_args!("  {id:<16} {text}"));
        }
    }

    fn is_first_ready(&mut self, state: &State) -> bool {
        state.supervisor.phase == Phase::Ready && self.shown.insert("everything".to_owned())
    }
}
