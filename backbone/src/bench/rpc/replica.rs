//! One replica of three that turns slow, or fails half of its calls, and is well again later.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use tokio::time::{Instant, sleep};
use tonic::Status;

use super::echo::{Server, ask, client, open_loop};

pub(super) const CONDITION: &str = "replica: three replicas that take 2 ms, 500 calls a second; after 2 s one takes ten times as long, or fails every \
     other call, for 6 s; it is out when it gets less than 5 % of the calls for half a second, and back when it gets more than 20 %";

const RATE: u32 = 500;
const USUAL: Duration = Duration::from_millis(2);
const WELL: Duration = Duration::from_secs(2);
const ILL: Duration = Duration::from_secs(6);
const LENGTH: Duration = Duration::from_secs(28);
const LOOK: Duration = Duration::from_millis(500);

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Slow,
    Failing,
}

impl Fault {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Failing => "failing",
        }
    }
}

/// Seconds until it was out and until it was back, and the share of all calls that failed.
pub(super) struct Outcome {
    pub(super) out: f64,
    pub(super) back: f64,
    pub(super) failed: f64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "out after {:.1} s, back after {:.1} s, {:.2} % of the calls failed", self.out, self.back, self.failed * 100.0)
    }
}

pub(super) async fn run(fault: Fault) -> Result<Outcome> {
    let well = || async {
        sleep(USUAL).await;
        Ok(())
    };
    let (is_ill, toggle) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
    let seen = is_ill.clone();
    let third = Server::ours(move || {
        let is_ill = seen.load(Relaxed);
        let fails = is_ill && fault == Fault::Failing && toggle.fetch_xor(true, Relaxed);
        async move {
            sleep(if is_ill && fault == Fault::Slow { USUAL * 10 } else { USUAL }).await;
            if fails { Err(Status::internal("broken")) } else { Ok(()) }
        }
    });
    let (one, two, third) = (Server::ours(well).await?, Server::ours(well).await?, third.await?);
    let client = client(&[&one, &two, &third], "{}")?;
    let watch = async {
        sleep(WELL).await;
        is_ill.store(true, Relaxed);
        let begun = Instant::now();
        let out = until(&third, |share| share < 0.05).await;
        sleep(ILL.saturating_sub(begun.elapsed())).await;
        is_ill.store(false, Relaxed);
        let back = until(&third, |share| share > 0.2).await;
        Ok::<_, anyhow::Error>((out?, back?))
    };
    let load = open_loop(RATE, LENGTH, |_| ask(client.clone(), String::new()));
    let (watched, answers) = tokio::join!(watch, load);
    let (out, back) = watched?;
    let failed = answers.iter().filter(|(_, _, answer)| answer.is_err()).count();
    #[expect(clippy::cast_precision_loss, reason = "numbers of calls")]
    let failed = failed as f64 / answers.len() as f64;
    Ok(Outcome { out: out.as_secs_f64(), back: back.as_secs_f64(), failed })
}

/// How long until the server's share of the calls is as wanted.
async fn until(server: &Server, is_wanted: impl Fn(f64) -> bool) -> Result<Duration> {
    let begun = Instant::now();
    loop {
        let before = server.calls();
        sleep(LOOK).await;
        let share = f64::from(server.calls() - before) / (f64::from(RATE) * LOOK.as_secs_f64());
        if is_wanted(share) {
            // It was so from the beginning of the look.
            return Ok(begun.elapsed().saturating_sub(LOOK));
        }
        ensure!(begun.elapsed() < LENGTH, "the replica still gets {:.0} % of the calls", share * 100.0);
    }
}
