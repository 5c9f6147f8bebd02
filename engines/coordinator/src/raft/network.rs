//! How this site reaches the others: one connection each for the log, for heartbeats and for snapshots, so that none waits behind another.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, future::BoxFuture, stream::BoxStream};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse,
        VoteRequest, VoteResponse,
    },
};
use serde::de::DeserializeOwned;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use super::{
    Site, Snapshot, Types, Vote,
    frame::{decode, frame},
    peer::{Question, SnapshotHead},
};
use crate::wire::coordinator::v1::{Frame, peer_service_client::PeerServiceClient};

/// Largest message between sites: the entries of one append, of which the last may be as large as a request.
pub(crate) const MESSAGE: usize = 8 << 20;
const CHUNK: usize = 1 << 20;
/// How long a site that has been sent something may stay silent before the stream is given up.
const SILENCE: Duration = Duration::from_secs(2);

/// Connections to the other sites. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    /// The address that calls come from, so that the other side can tell who it is.
    source: Option<IpAddr>,
    /// Where sites are called that are not called at their peer URL.
    routes: Arc<BTreeMap<String, String>>,
    connect: Duration,
    channels: Arc<Mutex<HashMap<String, Channel>>>,
}

impl Peers {
    /// `connect` is how long a connection may take to be made.
    #[must_use]
    pub(crate) fn new(source: Option<IpAddr>, routes: BTreeMap<String, String>, connect: Duration) -> Self {
        Self { source, routes: Arc::new(routes), connect, channels: Arc::default() }
    }

    fn endpoint(&self, url: &str) -> Result<Endpoint, Status> {
        let way = self.routes.get(url).map_or(url, String::as_str);
        Endpoint::from_shared(way.to_owned()).map_err(|error| Status::internal(format!("peer address {way}: {error}")))
    }

    fn connect(&self, url: &str) -> Result<PeerServiceClient<Channel>, Status> {
        let endpoint = self.endpoint(url)?;
        let endpoint = endpoint
            .connect_timeout(self.connect)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(1))
            .keep_alive_timeout(SILENCE)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(8 << 20)
            .local_address(self.source);
        Ok(client(endpoint.connect_lazy()))
    }

    /// The connection that calls of clients are passed on over.
    ///
    /// # Errors
    /// When the address makes no sense.
    pub(crate) fn relay(&self, url: &str) -> Result<PeerServiceClient<Channel>, Status> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(url) {
            return Ok(client(channel.clone()));
        }
        let endpoint = self.endpoint(url)?;
        let channel = endpoint
            .connect_timeout(self.connect)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(1))
            .keep_alive_timeout(SILENCE)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(8 << 20)
            .local_address(self.source)
            .connect_lazy();
        channels.insert(url.to_owned(), channel.clone());
        Ok(client(channel))
    }
}

fn client(channel: Channel) -> PeerServiceClient<Channel> {
    PeerServiceClient::new(channel).max_decoding_message_size(MESSAGE).max_encoding_message_size(MESSAGE)
}

impl RaftNetworkFactory<Types> for Peers {
    type Network = Link;

    async fn new_client(&mut self, _: u64, site: &Site) -> Link {
        Link { client: self.connect(&site.peer_url) }
    }
}

/// The way to one site.
#[derive(Debug)]
pub(crate) struct Link {
    client: Result<PeerServiceClient<Channel>, Status>,
}

fn unreachable(status: &Status) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::new(status))
}

fn failed(error: &std::io::Error) -> RPCError<Types> {
    RPCError::Network(NetworkError::new(error))
}

impl Link {
    fn client(&self) -> Result<PeerServiceClient<Channel>, RPCError<Types>> {
        self.client.clone().map_err(|status| unreachable(&status))
    }

    async fn ask<T: DeserializeOwned>(&self, question: &Question, within: Duration) -> Result<T, RPCError<Types>> {
        let mut request = tonic::Request::new(frame(question));
        request.set_timeout(within);
        let answer = self.client()?.ask(request).await.map_err(|status| unreachable(&status))?;
        decode(&answer.into_inner().body).map_err(|error| failed(&error))
    }
}

impl RaftNetworkV2<Types> for Link {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let mut answers = self.stream_append(futures::stream::iter([request]), option).await?;
        let answer = answers.next().await.unwrap_or_else(|| Err(unreachable(&Status::unavailable("no answer"))))?;
        Ok(answer.into())
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            let unanswered = Arc::new(AtomicUsize::new(0));
            let sent = unanswered.clone();
            let frames = input.map(move |request| {
                sent.fetch_add(1, Ordering::AcqRel);
                frame(&request)
            });
            let mut client = self.client()?;
            let opened = tokio::time::timeout(SILENCE, client.append(frames)).await;
            let opened = opened.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer"))).map_err(|status| unreachable(&status))?;
            let answers = futures::stream::unfold(Some((opened.into_inner(), unanswered)), |state| async move {
                let (mut answers, unanswered) = state?;
                loop {
                    return match tokio::time::timeout(SILENCE, answers.message()).await {
                        // Nothing was asked, so silence is no sign.
                        Err(_) if unanswered.load(Ordering::Acquire) == 0 => continue,
                        Err(_) => Some((Err(unreachable(&Status::deadline_exceeded("no answer"))), None)),
                        Ok(Err(status)) => Some((Err(unreachable(&status)), None)),
                        Ok(Ok(None)) => None,
                        Ok(Ok(Some(answer))) => {
                            unanswered.fetch_sub(1, Ordering::AcqRel);
                            Some((decode(&answer.body).map_err(|error| failed(&error)), Some((answers, unanswered))))
                        }
                    };
                }
            });
            Ok(answers.boxed())
        })
    }

    async fn vote(&mut self, request: VoteRequest<Types>, option: RPCOption) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask(&Question::Vote(request), option.soft_ttl()).await
    }

    async fn pre_vote(&mut self, request: VoteRequest<Types>, option: RPCOption) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask(&Question::PreVote(request), option.soft_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let head = SnapshotHead { vote, meta: snapshot.meta, length: snapshot.snapshot.len() as u64 };
        let body = snapshot.snapshot;
        let chunks = (0..body.len()).step_by(CHUNK).map(move |start| Frame { body: body.slice(start..(start + CHUNK).min(body.len())) });
        let frames = futures::stream::iter(std::iter::once(frame(&head)).chain(chunks.collect::<Vec<_>>()));
        let mut client = self.client.clone().map_err(|status| StreamingError::Unreachable(Unreachable::new(&status)))?;
        let sent = tokio::time::timeout(option.soft_ttl(), client.install_snapshot(frames));
        let answer = tokio::select! {
            closed = cancel => return Err(StreamingError::Closed(closed)),
            sent = sent => sent.unwrap_or_else(|_| Err(Status::deadline_exceeded("the snapshot took too long"))),
        };
        let answer = answer.map_err(|status| StreamingError::Unreachable(Unreachable::new(&status)))?;
        decode(&answer.into_inner().body).map_err(|error| StreamingError::Network(NetworkError::new(&error)))
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        self.ask(&Question::TransferLeader(request), option.soft_ttl()).await
    }

    /// Short, and it stays short: a site that comes back must be heard of within an election timeout.
    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(Duration::from_millis(50))))
    }
}
