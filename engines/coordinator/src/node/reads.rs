//! Linearizable reads: a read waits until this site has applied everything that was committed when it came.
//!
//! All reads that wait at one moment share one question to the leader (`ReadIndex`), and a few such rounds may be on their way at once.

use std::sync::Arc;

use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::Instant,
};

use super::Node;
use crate::{
    Refusal,
    wire::coordinator::v1::{forward_request::Request, forward_response::Response},
};

/// Rounds that may be on their way at once.
const ROUNDS: usize = 4;

type Asked = oneshot::Sender<Result<(), Refusal>>;

impl Node {
    /// Returns when a read here sees every change that was acknowledged before this call.
    ///
    /// # Errors
    /// When no leader confirms it.
    pub async fn linearize(&self) -> Result<(), Refusal> {
        let (sender, done) = oneshot::channel();
        self.0.reads.send(sender).map_err(|_| Refusal::Stopped)?;
        done.await.unwrap_or(Err(Refusal::Stopped))
    }

    pub(super) async fn serve_reads(self, mut asked: mpsc::UnboundedReceiver<Asked>) {
        let rounds = Arc::new(Semaphore::new(ROUNDS));
        let mut waiting = Vec::new();
        loop {
            let Ok(round) = rounds.clone().acquire_owned().await else { return };
            if asked.recv_many(&mut waiting, usize::MAX >> 1).await == 0 {
                return;
            }
            let (node, waiters) = (self.clone(), std::mem::take(&mut waiting));
            tokio::spawn(async move {
                let result = node.catch_up().await;
                drop(round);
                for waiter in waiters {
                    let _ = waiter.send(result);
                }
            });
        }
    }

    async fn catch_up(&self) -> Result<(), Refusal> {
        let Response::ReadIndex(index) = self.at_leader(Request::ReadIndex(true)).await? else { return Err(Refusal::Unhealthy) };
        let mut applied = self.state().applied();
        let caught_up = tokio::time::timeout(self.0.request_timeout, applied.wait_for(|applied| applied.index >= index));
        match caught_up.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Refusal::Stopped),
            Err(_) => Err(Refusal::TimedOut),
        }
    }

    /// As the leader: the index that a read must have seen, once a majority has confirmed that this site leads.
    pub(super) async fn read_index(&self) -> Result<u64, Refusal> {
        use openraft::errors::{LinearizableReadError, RaftError};
        let (asked, term) = (Instant::now(), self.term());
        let linearizer = match self.raft().get_read_linearizer(self.0.options.reads.clone()).await {
            Ok(linearizer) => linearizer,
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_) | LinearizableReadError::QuorumNotEnough(_))) => {
                return Err(Refusal::NotLeader);
            }
            Err(RaftError::Fatal(_)) => return Err(Refusal::Stopped),
        };
        let since = if self.0.options.has_lease_reads() { Instant::now() - self.0.options.election_timeout } else { asked };
        if self.confirmed_term(since) != Some(term) {
            return Err(Refusal::NotLeader);
        }
        let index = linearizer.read_log_id().index();
        let (began_in, last) = self.0.began_with;
        Ok(if term == began_in { index.max(last) } else { index })
    }

    /// As the leader: its term, if a majority has answered what this site sent in it at `since` or later.
    fn confirmed_term(&self, since: Instant) -> Option<u64> {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let term = metrics.current_term;
        let answered = |site: &&u64| **site == self.id() || self.0.heard.has(**site, term, since);
        let voters = metrics.membership_config.membership().get_joint_config();
        let is_confirmed = voters.iter().all(|voters| voters.iter().filter(answered).count() * 2 > voters.len());
        (metrics.current_leader == Some(self.id()) && is_confirmed).then_some(term)
    }
}
