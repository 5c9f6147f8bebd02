//! Leases as the leader keeps them: deadlines, keep-alives and the end.

use std::time::Duration;

use super::Node;
use crate::{
    Refusal,
    wire::{
        coordinator::v1::{command, forward_request::Request, forward_response::Response},
        etcdserverpb::{LeaseRevokeRequest, LeaseTimeToLiveRequest},
    },
};

/// How often the leader looks for leases that are due.
const LOOK: Duration = Duration::from_millis(50);
/// Leases that end at one look; the rest waits for the next.
const TOGETHER: usize = 256;

impl Node {
    /// Revokes what is due, as long as this site leads.
    pub(super) async fn end_leases(self) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.leader() != Some(self.id()) {
                self.state().lessor().demote();
                continue;
            }
            self.keep_deadlines();
            let due = self.state().lessor().due(self.state().now(), TOGETHER);
            let node = &self;
            let revokes = due.into_iter().map(|id| async move {
                // One that fails, e.g. as this site no longer leads, is still due at the next look.
                if let Err(error) = revoke(node, id).await {
                    tracing::debug!(lease = id, %error, "lease not ended yet");
                }
            });
            futures::future::join_all(revokes).await;
        }
    }

    /// Begins to keep deadlines when this site has come to lead.
    fn keep_deadlines(&self) {
        let term = self.term();
        // The order of locks is that of applying: state, then lessor.
        let mvcc = self.state().mvcc();
        let mut lessor = self.state().lessor();
        if !lessor.leads(term) {
            lessor.promote(term, mvcc.leases(), self.state().now(), self.0.options.election_timeout);
        }
    }

    /// As the leader: gives a lease its whole TTL again, and gives that in seconds. 0 when there is no such lease.
    ///
    /// A majority confirms first that this site still leads: a later leader then counts from a later time than whoever asked.
    pub(super) async fn renew(&self, id: i64) -> Result<i64, Refusal> {
        self.linearize().await?;
        self.keep_deadlines();
        let renewed = self.state().lessor().renew(id, self.state().now());
        Ok(renewed.map_or(0, |ttl| i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)))
    }

    /// As the leader: whole seconds left of a lease, -1 when there is no such lease.
    pub(super) async fn time_left(&self, id: i64) -> Result<i64, Refusal> {
        self.linearize().await?;
        self.keep_deadlines();
        let remaining = self.state().lessor().remaining(id, self.state().now());
        Ok(remaining.map_or(-1, |(_, left)| i64::try_from(left.as_secs()).unwrap_or(i64::MAX)))
    }

    /// Keeps a lease alive. 0 when there is no such lease.
    ///
    /// # Errors
    /// When no leader answers.
    pub async fn keep_alive(&self, id: i64) -> Result<i64, Refusal> {
        match self.at_leader(Request::KeepAlive(id)).await? {
            Response::TimeToLive(seconds) => Ok(seconds),
            _ => Err(Refusal::Unhealthy),
        }
    }

    /// Whole seconds left of a lease, -1 when there is no such lease.
    ///
    /// # Errors
    /// When no leader answers.
    pub async fn time_to_live(&self, id: i64) -> Result<i64, Refusal> {
        match self.at_leader(Request::TimeToLive(LeaseTimeToLiveRequest { id, keys: false })).await? {
            Response::TimeToLive(seconds) => Ok(seconds),
            _ => Err(Refusal::Unhealthy),
        }
    }
}

async fn revoke(node: &Node, id: i64) -> Result<(), Refusal> {
    match node.propose(command::Change::Revoke(LeaseRevokeRequest { id })).await {
        Ok(_) | Err(Refusal::LeaseNotFound) => Ok(()),
        Err(refusal) => Err(refusal),
    }
}
