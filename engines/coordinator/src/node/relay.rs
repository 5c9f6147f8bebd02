//! Calls on their way to the leader: all that wait at one moment go in one message, on one stream a leader.
//!
//! ```text
//! call ─┐
//! call ─┼─> waiting ──(a message at a time)──> sent, by number <── answers, in any order
//! call ─┘     └ the stream breaks: nothing has been done     └ the stream breaks, or somebody else leads: outcome unknown
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, stream::BoxStream};
use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::{
    Refusal,
    raft::{Peers, Raft},
    wire::coordinator::v1::{Answers, Calls, ForwardRequest, ForwardResponse, forward_request::Request, forward_response::Response},
};

/// Calls in one message.
const TOGETHER: usize = 512;
/// Bytes beyond which a message takes no further call.
const MESSAGE: usize = 1 << 20;

/// What a call came to. None when it certainly has not reached anybody.
pub(super) type Outcome = Option<Result<Response, Refusal>>;

#[derive(Debug)]
struct Call {
    request: Request,
    answer: oneshot::Sender<Outcome>,
}

/// The streams to leaders, past and present.
#[derive(Debug)]
pub(super) struct Relays {
    peers: Peers,
    /// How long a stream may take to be opened.
    patience: Duration,
    open: Mutex<HashMap<(u64, String), mpsc::UnboundedSender<Call>>>,
}

impl Relays {
    pub(super) fn new(peers: Peers, patience: Duration) -> Self {
        Self { peers, patience, open: Mutex::default() }
    }

    /// Passes a call on to the site `leader` at `url`.
    pub(super) async fn pass_on(&self, raft: &Raft, leader: u64, url: &str, request: Request) -> Outcome {
        let (answer, answered) = oneshot::channel();
        {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let calls = open.entry((leader, url.to_owned())).or_insert_with(|| {
                let (calls, waiting) = mpsc::unbounded_channel();
                let relay = Relay { peers: self.peers.clone(), raft: raft.clone(), leader, url: url.to_owned(), patience: self.patience };
                tokio::spawn(relay.run(waiting));
                calls
            });
            calls.send(Call { request, answer }).ok()?;
        }
        // It goes without an answer only when this site ends.
        answered.await.unwrap_or(Some(Err(Refusal::Stopped)))
    }
}

/// The way to one leader.
#[derive(Debug)]
struct Relay {
    peers: Peers,
    raft: Raft,
    leader: u64,
    url: String,
    patience: Duration,
}

type Opened = (mpsc::Sender<Calls>, BoxStream<'static, Result<Answers, Status>>);

impl Relay {
    /// Until nobody is left who could call.
    async fn run(self, mut calls: mpsc::UnboundedReceiver<Call>) {
        let mut waiting = Vec::new();
        while calls.recv_many(&mut waiting, TOGETHER).await > 0 {
            let opened = tokio::select! {
                biased;
                opened = tokio::time::timeout(self.patience, self.open()) => opened.ok(),
                () = self.deposed() => None,
            };
            if let Some(Ok((requests, answers))) = opened {
                self.carry(&mut calls, &mut waiting, requests, answers).await;
            }
            for call in waiting.drain(..) {
                let _ = call.answer.send(None);
            }
        }
    }

    async fn open(&self) -> Result<Opened, Status> {
        // One message waits while another is being sent: what comes meanwhile goes together.
        let (requests, sent) = mpsc::channel(1);
        let answers = self.peers.relay(&self.url)?.relay(ReceiverStream::new(sent)).await?;
        Ok((requests, answers.into_inner().boxed()))
    }

    /// Returns when another site leads: whoever asked a leader that hangs must not wait until it wakes up.
    async fn deposed(&self) {
        let mut metrics = self.raft.server_metrics();
        while metrics.borrow_and_update().current_leader.is_none_or(|leader| leader == self.leader) {
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }

    /// Carries calls and answers until the stream breaks or this leader is none any more. What was not sent stays in `waiting`.
    async fn carry(
        &self,
        calls: &mut mpsc::UnboundedReceiver<Call>,
        waiting: &mut Vec<Call>,
        requests: mpsc::Sender<Calls>,
        mut answers: BoxStream<'static, Result<Answers, Status>>,
    ) {
        let mut sent: BTreeMap<u64, oneshot::Sender<Outcome>> = BTreeMap::new();
        let mut last = 0;
        let mut deposed = std::pin::pin!(self.deposed());
        loop {
            tokio::select! {
                biased;
                answered = answers.next() => {
                    let Some(Ok(answered)) = answered else { break };
                    for answer in answered.answers {
                        if let Some(caller) = sent.remove(&answer.number) {
                            let _ = caller.send(Some(outcome(answer)));
                        }
                    }
                }
                () = &mut deposed => break,
                room = requests.reserve(), if !waiting.is_empty() => {
                    let Ok(room) = room else { break };
                    let (message, callers) = take(waiting, &mut last);
                    sent.extend(callers);
                    room.send(message);
                }
                taken = calls.recv_many(waiting, TOGETHER), if waiting.is_empty() => if taken == 0 { break },
            }
        }
        for caller in sent.into_values() {
            let _ = caller.send(Some(Err(Refusal::LeaderChanged)));
        }
    }
}

/// As many of the waiting calls as fit in a message, oldest first, and who made them. Calls whose callers are gone are dropped: they were never made.
fn take(waiting: &mut Vec<Call>, last: &mut u64) -> (Calls, Vec<(u64, oneshot::Sender<Outcome>)>) {
    let mut bytes = 0;
    let fits = waiting.iter().take_while(|call| {
        let fits = bytes < MESSAGE;
        bytes += if let Request::Command(command) = &call.request { command.len() } else { call.request.encoded_len() };
        fits
    });
    let fits = fits.count();
    let (mut calls, mut callers) = (Vec::with_capacity(fits), Vec::with_capacity(fits));
    for call in waiting.drain(..fits).filter(|call| !call.answer.is_closed()) {
        *last += 1;
        calls.push(ForwardRequest { number: *last, request: Some(call.request) });
        callers.push((*last, call.answer));
    }
    (Calls { calls }, callers)
}

fn outcome(answer: ForwardResponse) -> Result<Response, Refusal> {
    match answer.response {
        Some(Response::Refusal(number)) => Err(Refusal::numbered(number)),
        Some(response) => Ok(response),
        None => Err(Refusal::Unhealthy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(sizes: &[usize]) -> (Vec<Call>, Vec<oneshot::Receiver<Outcome>>) {
        let call = |size: &usize| {
            let (answer, answered) = oneshot::channel();
            (Call { request: Request::Command(vec![0; *size].into()), answer }, answered)
        };
        sizes.iter().map(call).unzip()
    }

    #[test]
    fn a_message_is_bounded_and_a_large_call_goes_alone() {
        let (mut waiting, _callers) = calls(&[10, MESSAGE, 10, MESSAGE * 2, 10]);
        let mut last = 0;
        let mut lengths = Vec::new();
        while !waiting.is_empty() {
            lengths.push(take(&mut waiting, &mut last).0.calls.len());
        }
        assert_eq!(lengths, [2, 2, 1]);
        assert_eq!(last, 5);
    }

    #[test]
    fn a_call_that_nobody_waits_for_is_not_made() {
        let (mut waiting, mut callers) = calls(&[1, 1, 1]);
        callers.remove(1);
        let (message, sent) = take(&mut waiting, &mut 0);
        assert_eq!((message.calls.len(), sent.len()), (2, 2));
    }
}
