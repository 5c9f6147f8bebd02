//! A leader that no majority answers: what it has proposed may never be decided, and its clients are told.

use std::time::Duration;

use openraft::{Instant as _, async_runtime::watch::WatchReceiver as _};
use tokio::time::{Instant, MissedTickBehavior};

use super::Node;
use crate::Refusal;

/// Looks within the time that a majority may be silent.
const LOOKS: u32 = 8;

impl Node {
    /// Whether this site leads and has not been answered by a majority within an election timeout.
    pub(super) fn is_alone(&self) -> bool {
        *self.0.alone.borrow()
    }

    /// What the leader waits for, unless it is alone: then the outcome stays unknown.
    pub(super) async fn unless_alone<T>(&self, outcome: impl Future<Output = T>) -> Result<T, Refusal> {
        let mut alone = self.0.alone.subscribe();
        tokio::select! {
            biased;
            outcome = outcome => Ok(outcome),
            _ = alone.wait_for(|alone| *alone) => Err(Refusal::LeaderChanged),
        }
    }

    /// Looks after a majority as long as this site leads.
    pub(super) async fn watch_majority(self) {
        let lease = self.0.options.election_timeout;
        let between = lease / LOOKS;
        let mut looks = tokio::time::interval(between);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leads_since: Option<(u64, Instant)> = None;
        let mut looked = Instant::now();
        loop {
            looks.tick().await;
            let now = Instant::now();
            // A process that stood still has not listened either: what came meanwhile must be read first.
            let stood_still = now - std::mem::replace(&mut looked, now) > between * 2;
            let silence = self.silence(&mut leads_since);
            let alone = silence.is_some_and(|silence| silence > lease) && (!stood_still || self.is_alone());
            self.0.alone.send_if_modified(|was| std::mem::replace(was, alone) != alone);
        }
    }

    /// As the leader of others: how long ago what a majority has answered was sent.
    fn silence(&self, leads_since: &mut Option<(u64, Instant)>) -> Option<Duration> {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        if metrics.current_leader != Some(self.id()) || metrics.membership_config.voter_ids().count() < 2 {
            *leads_since = None;
            return None;
        }
        // Before the first answer it counts from when it came to lead.
        let term = metrics.current_term;
        let since = leads_since.filter(|(led, _)| *led == term).unwrap_or_else(|| (term, Instant::now())).1;
        *leads_since = Some((term, since));
        let led = since.elapsed();
        Some(metrics.last_quorum_acked.map_or(led, |acked| acked.elapsed().min(led)))
    }
}
