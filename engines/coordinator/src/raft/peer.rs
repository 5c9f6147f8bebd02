//! The peer port: what other sites ask of this one.

use std::pin::Pin;

use bytes::BytesMut;
use futures::{Stream, StreamExt as _, stream::FuturesUnordered};
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest};
use serde::{Deserialize, Serialize};
use tonic::{Request, Response, Status, Streaming};

use super::{
    Body, Snapshot, SnapshotMeta, Types, Vote,
    frame::{decode, frame},
};
use crate::{
    Node,
    wire::coordinator::v1::{Answers, Calls, Frame, peer_service_server::PeerService},
};

/// Answers in one message.
const TOGETHER: usize = 512;

/// A question that is answered by one message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Question {
    Vote(VoteRequest<Types>),
    PreVote(VoteRequest<Types>),
    TransferLeader(TransferLeaderRequest<Types>),
}

/// What comes before the bytes of a snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SnapshotHead {
    pub(super) vote: Vote,
    pub(super) meta: SnapshotMeta,
    pub(super) length: u64,
}

/// Answers other sites.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// This site.
    pub(crate) node: Node,
}

fn garbled(error: &std::io::Error) -> Status {
    Status::invalid_argument(format!("a message from another site makes no sense: {error}"))
}

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("this site's Raft has stopped: {error}"))
}

#[tonic::async_trait]
impl PeerService for Peer {
    type AppendStream = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

    async fn append(&self, request: Request<Streaming<Frame>>) -> Result<Response<Self::AppendStream>, Status> {
        // A stream that breaks ends like one that was ended; the sender sees that answers are missing.
        let requests = request.into_inner().scan((), |(), frame| {
            let request = frame.ok().and_then(|frame| {
                let request = decode::<AppendEntriesRequest<Types>>(&frame.body);
                request.inspect_err(|error| tracing::error!(%error, "an append makes no sense")).ok()
            });
            std::future::ready(request)
        });
        let answers = self.node.raft().stream_append(requests);
        let answers = answers.map(|answer| answer.map(|answer| frame(&answer)).map_err(stopped));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn ask(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        let raft = self.node.raft();
        let answer = match decode(&request.into_inner().body).map_err(|error| garbled(&error))? {
            Question::Vote(request) => frame(&raft.vote(request).await.map_err(stopped)?),
            Question::PreVote(request) => frame(&raft.pre_vote(request).await.map_err(stopped)?),
            Question::TransferLeader(request) => frame(&raft.handle_transfer_leader(request).await.map_err(stopped)?),
        };
        Ok(Response::new(answer))
    }

    async fn install_snapshot(&self, request: Request<Streaming<Frame>>) -> Result<Response<Frame>, Status> {
        let mut frames = request.into_inner();
        let head = frames.message().await?.ok_or_else(|| Status::invalid_argument("a snapshot without a head"))?;
        let head: SnapshotHead = decode(&head.body).map_err(|error| garbled(&error))?;
        let mut body = BytesMut::new();
        while let Some(frame) = frames.message().await? {
            body.extend_from_slice(&frame.body);
            if body.len() as u64 > head.length {
                return Err(Status::invalid_argument("a snapshot longer than was said"));
            }
        }
        if body.len() as u64 != head.length {
            return Err(Status::invalid_argument("a snapshot shorter than was said"));
        }
        let snapshot = Snapshot { meta: head.meta, snapshot: Body::Held(body.freeze()) };
        let answer = self.node.raft().install_full_snapshot(head.vote, snapshot).await.map_err(stopped)?;
        Ok(Response::new(frame(&answer)))
    }

    type RelayStream = Pin<Box<dyn Stream<Item = Result<Answers, Status>> + Send>>;

    async fn relay(&self, request: Request<Streaming<Calls>>) -> Result<Response<Self::RelayStream>, Status> {
        let node = self.node.clone();
        // A stream that breaks ends like one that was ended: nobody is there to be answered.
        let calls = request.into_inner().scan((), |(), calls| std::future::ready(calls.ok()));
        let answers = calls.flat_map_unordered(None, move |calls| {
            let node = node.clone();
            calls.calls.into_iter().map(move |call| node.clone().answer(call)).collect::<FuturesUnordered<_>>()
        });
        let answers = answers.ready_chunks(TOGETHER).map(|answers| Ok(Answers { answers }));
        Ok(Response::new(Box::pin(answers)))
    }
}
