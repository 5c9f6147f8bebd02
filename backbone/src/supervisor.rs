//! Starts every step when what it needs is done, keeps the parts running, and stops them from the top layer down.

use std::{convert::Infallible, process::ExitStatus, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::Signal;
use tokio::{process::Child, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    engine::Context,
    jobs,
    plan::{Action, Kind, Part},
    probe,
    process::{self, tail},
    state::{Board, PartState, Phase},
};

/// A part that does not answer for this long has not started.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// Launches of a part before its first answer. A second one heals what a killed predecessor left for a moment, such as a port.
const FIRST_TRIES: u32 = 3;
/// How often a part that is ready is asked again.
const ASK_EVERY: Duration = Duration::from_secs(3);
/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(10);
/// The layers of [`Part::layer`].
const LAYERS: u8 = 5;
/// Exit code of a service whose settings are wrong: starting it again does not help.
const BAD_SETTINGS: i32 = 64;

/// Runs everything until `stop`, or until it could not start.
///
/// # Errors
/// Why it could not start.
pub async fn run(context: Arc<Context>, board: Arc<Board>, stop: CancellationToken) -> Result<()> {
    let layers: Vec<_> = (0..LAYERS).map(|_| CancellationToken::new()).collect();
    let (failure, mut failed) = tokio::sync::mpsc::channel::<anyhow::Error>(1);
    let mut parts: Vec<JoinSet<()>> = (0..LAYERS).map(|_| JoinSet::new()).collect();
    let mut jobs = JoinSet::new();
    for step in context.plan.steps.clone() {
        match step.action.clone() {
            Action::Run(part) => {
                let layer = usize::from(part.layer());
                let keeper = Keeper { context: context.clone(), board: board.clone(), part, stop: layers[layer].clone() };
                let failure = failure.clone();
                parts[layer].spawn(async move {
                    if let Err(error) = keeper.keep(&step.needs).await {
                        let _ = failure.try_send(error);
                    }
                });
            }
            Action::Do(job) => {
                let (context, board, failure) = (context.clone(), board.clone(), failure.clone());
                jobs.spawn(async move {
                    board.wait_for(&step.needs).await;
                    let begun = Instant::now();
                    match jobs::run(&context, job).await {
                        Ok(()) => board.job_done(&step.id, begun.elapsed()),
                        Err(error) => drop(failure.try_send(error.context(format!("step '{}' failed", step.id)))),
                    }
                });
            }
        }
    }
    let steps: Vec<_> = context.plan.steps.iter().map(|step| step.id.clone()).collect();
    let outcome = watch(&board, &steps, &mut failed, &stop, &context).await;
    jobs.abort_all();
    if let Err(error) = &outcome {
        board.failed(&format!("{error:#}"));
    }
    board.phase(Phase::Stopping);
    for (token, keepers) in layers.iter().zip(&mut parts).rev() {
        token.cancel();
        while keepers.join_next().await.is_some() {}
    }
    board.phase(if outcome.is_ok() { Phase::Stopped } else { Phase::Failed });
    outcome
}

/// Until everything is up, a failure ends it; afterwards only `stop` does.
async fn watch(
    board: &Board,
    steps: &[String],
    failed: &mut tokio::sync::mpsc::Receiver<anyhow::Error>,
    stop: &CancellationToken,
    context: &Context,
) -> Result<()> {
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        Some(error) = failed.recv() => return Err(error),
        () = board.wait_for(steps) => board.phase(Phase::Ready),
    }
    tracing::info!("everything is ready");
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = tick.tick() => {
                for part in context.plan.parts() {
                    if let Err(error) = process::rotate(&context.home.log(part)) {
                        tracing::warn!(part = part.id(), %error, "cannot rotate the log");
                    }
                }
            }
        }
    }
}

/// Keeps one part running.
struct Keeper {
    context: Arc<Context>,
    board: Arc<Board>,
    part: Part,
    stop: CancellationToken,
}

/// How a run of a process ended.
enum End {
    Stopped,
    Died { was_ready: bool, ran: Duration, why: anyhow::Error, hopeless: bool },
}

impl Keeper {
    /// Runs until stopped, or until it turns out that the part cannot start.
    async fn keep(&self, needs: &[String]) -> Result<()> {
        let outcome = self.run(needs).await;
        self.board.gone(&self.part, if outcome.is_ok() { PartState::Stopped } else { PartState::Failed });
        outcome
    }

    /// A part that has answered once is restarted for ever, ever more slowly while it keeps dying.
    async fn run(&self, needs: &[String]) -> Result<()> {
        tokio::select! {
            () = self.board.wait_for(needs) => {}
            () = self.stop.cancelled() => return Ok(()),
        }
        let mut pause = Duration::from_millis(200);
        let mut proven = false;
        let mut tries = 0;
        loop {
            let (was_ready, ran, why, hopeless) = match self.once().await {
                Ok(End::Stopped) => return Ok(()),
                Ok(End::Died { was_ready, ran, why, hopeless }) => (was_ready, ran, why, hopeless),
                Err(why) => (false, Duration::ZERO, why, false),
            };
            proven |= was_ready;
            tries += 1;
            tracing::warn!(part = self.part.id(), error = %format!("{why:#}"), "is gone");
            if !proven && (hopeless || tries >= FIRST_TRIES) {
                return Err(self.explain(&why));
            }
            self.board.gone(&self.part, PartState::Restarting);
            if ran > Duration::from_secs(30) {
                pause = Duration::from_millis(200);
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => return Ok(()),
            }
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// One run of the process.
    async fn once(&self) -> Result<End> {
        let Self { context, board, part, stop } = self;
        let log = context.home.log(part);
        process::rotate(&log).context("rotate the log")?;
        let begun = Instant::now();
        context.prepare(part).await?;
        let mut child = context.launch(part).spawn(&log, context.home.path())?;
        let pid = child.id().context("the process ended at once")?;
        board.launched(part, pid);
        tracing::info!(part = part.id(), pid, "launched");
        let answer = probe::until(READY_WITHIN, Duration::from_millis(50), || context.probe(part));
        let mut was_ready = false;
        tokio::select! {
            () = stop.cancelled() => return self.stop(&mut child, pid).await,
            status = child.wait() => return Ok(died(status, was_ready, begun)),
            answered = answer => match answered {
                Ok(()) => {
                    was_ready = true;
                    board.answers(part, begun.elapsed());
                }
                Err(error) => {
                    self.stop(&mut child, pid).await?;
                    let why = error.context("it runs but does not answer");
                    return Ok(End::Died { was_ready, ran: begun.elapsed(), why, hopeless: true });
                }
            },
        }
        tokio::select! {
            () = stop.cancelled() => self.stop(&mut child, pid).await,
            status = child.wait() => Ok(died(status, was_ready, begun)),
            never = self.keep_asking() => match never {},
        }
    }

    /// Asks now and then whether the part still answers, so that `status` never calls a part ready that only runs.
    async fn keep_asking(&self) -> Infallible {
        let mut answered = true;
        loop {
            tokio::time::sleep(ASK_EVERY).await;
            let answer = self.context.probe(&self.part).await;
            if answer.is_ok() != answered {
                answered = !answered;
                self.board.still_answers(&self.part, answered);
                let why = answer.err().map(|error| format!("{error:#}"));
                tracing::warn!(part = self.part.id(), answered, why, "has changed");
            }
        }
    }

    async fn stop(&self, child: &mut Child, pid: u32) -> Result<End> {
        process::signal(pid, stop_signal(&self.part.name));
        if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
            tracing::warn!(part = self.part.id(), "did not stop in time and is killed");
            child.kill().await.context("kill it")?;
        }
        Ok(End::Stopped)
    }

    /// What happened, the last lines of the log, and what to do.
    fn explain(&self, why: &anyhow::Error) -> anyhow::Error {
        explain(&self.context, &self.part, why)
    }
}

/// PostgreSQL takes SIGTERM as "when the last client has gone"; SIGINT is "now, in good order".
#[must_use]
pub fn stop_signal(name: &str) -> Signal {
    if name == "postgres" { Signal::INT } else { Signal::TERM }
}

fn died(status: std::io::Result<ExitStatus>, was_ready: bool, begun: Instant) -> End {
    let (why, hopeless) = match status {
        Ok(status) => (anyhow!("ended with {status}"), status.code() == Some(BAD_SETTINGS)),
        Err(error) => (error.into(), false),
    };
    End::Died { was_ready, ran: begun.elapsed(), why, hopeless }
}

pub(crate) fn explain(context: &Context, part: &Part, why: &anyhow::Error) -> anyhow::Error {
    let log = context.home.log(part);
    let lines = tail(&log, 12);
    let text = lines.join("\n");
    let advice = if text.contains("ddress already in use") || text.contains("could not bind") {
        format!("free port {} or set BACKBONE_PORT_SHIFT (for example 100)", part.port())
    } else if text.contains("No space left") || format!("{why:#}").contains("No space left") {
        "free some space on the disk, then `backbone up` again".to_owned()
    } else if part.kind != Kind::Service && lines.is_empty() {
        "`backbone fetch --verify` finds out whether its files are whole, and mends them".to_owned()
    } else {
        format!("`backbone logs {} --region {}` shows all of it", part.name, part.place)
    };
    let shown = if lines.is_empty() { "  (nothing)".to_owned() } else { format!("  {}", lines.join("\n  ")) };
    anyhow!("{} did not start: {why:#}\nits last lines, from {}:\n{shown}\nwhat to do: {advice}", part.id(), log.display())
}

/// Runs a service's program once, to its end, with the settings that it will be served with.
///
/// # Errors
/// When it fails, with the last lines of its log.
pub async fn run_once(context: &Context, region: ids::Region, name: &str, argument: &str) -> Result<()> {
    let id = format!("{region}/{name}");
    let Some(part) = context.plan.parts().find(|part| part.id() == id && part.kind == Kind::Service) else {
        bail!("there is no service {id}");
    };
    let launch = context.service(part).args([argument]);
    let mut child = launch.spawn(&context.home.log(part), context.home.path())?;
    let status = child.wait().await?;
    if status.success() { Ok(()) } else { Err(explain(context, part, &anyhow!("`{name} {argument}` ended with {status}"))) }
}
