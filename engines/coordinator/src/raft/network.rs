//! How this site reaches the others: one connection each for the log, for heartbeats and for snapshots, so that none waits behind another.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{Stream, StreamExt as _, future::BoxFuture, stream::BoxStream};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError, StreamAppendResult, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use super::{
    Body, Site, Snapshot, Types, Vote,
    frame::{decode, frame},
    peer::{Question, SnapshotHead},
};
use crate::wire::coordinator::v1::{Frame, peer_service_client::PeerServiceClient};

/// Largest message between sites: the entries of one append, of which the last may be as large as a request.
pub(crate) const MESSAGE: usize = 8 << 20;
const CHUNK: usize = 1 << 20;
/// How long a site that has been sent something may stay silent before the stream is given up.
const SILENCE: Duration = Duration::from_secs(2);
/// Before a site that could not be reached is tried again. Short: one that comes back must be heard of within an election timeout.
const REST: Duration = Duration::from_millis(50);

/// Connections to the other sites. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    /// The address that calls come from, so that the other side can tell who it is.
    source: Option<IpAddr>,
    /// Where sites are called that are not called at their peer URL.
    routes: Arc<BTreeMap<String, String>>,
    connect: Duration,
    channels: Arc<Mutex<HashMap<String, Channel>>>,
    heard: Heard,
}

impl Peers {
    /// `connect` is how long a connection may take to be made.
    #[must_use]
    pub(crate) fn new(source: Option<IpAddr>, routes: BTreeMap<String, String>, connect: Duration) -> Self {
        Self { source, routes: Arc::new(routes), connect, channels: Arc::default(), heard: Heard::default() }
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
        Ok(client(dial(&endpoint)))
    }

    /// What the other sites have answered.
    #[must_use]
    pub(crate) fn heard(&self) -> &Heard {
        &self.heard
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
        let endpoint = endpoint
            .connect_timeout(self.connect)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(1))
            .keep_alive_timeout(SILENCE)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(8 << 20)
            .local_address(self.source);
        let channel = dial(&endpoint);
        channels.insert(url.to_owned(), channel.clone());
        Ok(client(channel))
    }
}

/// A connection that is made when it is first used.
fn dial(endpoint: &Endpoint) -> Channel {
    #[cfg(test)]
    if crate::is_simulated() {
        return crate::simulation::dial(endpoint);
    }
    endpoint.connect_lazy()
}

fn client(channel: Channel) -> PeerServiceClient<Channel> {
    PeerServiceClient::new(channel).max_decoding_message_size(MESSAGE).max_encoding_message_size(MESSAGE)
}

impl RaftNetworkFactory<Types> for Peers {
    type Network = Link;

    async fn new_client(&mut self, target: u64, site: &Site) -> Link {
        Link { client: self.connect(&site.peer_url), target, heard: self.heard.clone() }
    }
}

/// The way to one site.
#[derive(Debug)]
pub(crate) struct Link {
    client: Result<PeerServiceClient<Channel>, Status>,
    target: u64,
    heard: Heard,
}

/// Term and moment of sending of a message.
type Sent = (u64, Instant);

/// For each site: term and moment of sending of the newest message of this leader that it has answered. Cheap to clone.
///
/// Raft's own record of this takes the answer to one append for the answer to those after it that hold no entry (openraft 0.10.0-alpha.37,
/// `InflightAppendQueue::drain_acked`). A leader that stood still could then take an old answer, read on waking up, for a new one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<HashMap<u64, Sent>>>);

impl Heard {
    fn note(&self, site: u64, sent: Sent) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = heard.entry(site).or_insert(sent);
        *newest = sent.max(*newest);
    }

    /// Whether `site` has answered a message of `term` that was sent at `since` or later.
    #[must_use]
    pub(crate) fn has(&self, site: u64, term: u64, since: Instant) -> bool {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(&site).is_some_and(|(of, sent)| *of == term && *sent >= since)
    }
}

/// What was sent over one stream and is not answered yet, oldest first: answers come in the order of the messages.
#[derive(Debug, Clone, Default)]
struct Unanswered(Arc<Mutex<VecDeque<Sent>>>);

impl Unanswered {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Sent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    type SnapshotData = Body;

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
            let unanswered = Unanswered::default();
            let sent = unanswered.clone();
            let frames = input.map(move |request| {
                sent.lock().push_back((request.vote.leader_id.term, Instant::now()));
                frame(&request)
            });
            let mut client = self.client()?;
            let opened = tokio::time::timeout(SILENCE, client.append(frames)).await;
            let opened = match opened.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer"))) {
                Ok(opened) => opened,
                Err(status) => {
                    // Raft waits before it sends the next append, and one that could not be opened has sent none.
                    tokio::time::sleep(REST).await;
                    return Err(unreachable(&status));
                }
            };
            let (heard, target) = (self.heard.clone(), self.target);
            let answers = futures::stream::unfold(Some((opened.into_inner(), unanswered, heard)), move |state| async move {
                let (mut answers, unanswered, heard) = state?;
                loop {
                    return match tokio::time::timeout(SILENCE, answers.message()).await {
                        // Nothing was asked, so silence is no sign.
                        Err(_) if unanswered.lock().is_empty() => continue,
                        Err(_) => Some((Err(unreachable(&Status::deadline_exceeded("no answer"))), None)),
                        Ok(Err(status)) => Some((Err(unreachable(&status)), None)),
                        Ok(Ok(None)) => None,
                        Ok(Ok(Some(answer))) => {
                            let sent = unanswered.lock().pop_front();
                            let answer = decode::<StreamAppendResult<Types>>(&answer.body).map_err(|error| failed(&error));
                            if let (Some(sent), Ok(Ok(_) | Err(StreamAppendError::Conflict(_)))) = (sent, &answer) {
                                heard.note(target, sent);
                            }
                            Some((answer, Some((answers, unanswered, heard))))
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
        let body = snapshot.snapshot;
        let head = SnapshotHead { vote, meta: snapshot.meta, length: body.len() };
        // One that cannot be read to its end comes up short, and is refused.
        let pieces = (0..body.len()).step_by(CHUNK).map_while(move |at| Some(Frame { body: body.piece(at, CHUNK).ok()? }));
        let frames = futures::stream::iter(std::iter::once(frame(&head)).chain(pieces));
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

    /// The same each time, however long it lasts.
    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(REST)))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use tokio::sync::{mpsc, oneshot};
    use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
    use tonic::{Request, Response, Streaming, transport::Server};

    use super::*;
    use crate::{
        raft::LogId,
        wire::coordinator::v1::{
            Answers, Calls,
            peer_service_server::{PeerService, PeerServiceServer},
        },
    };

    /// A site that takes appends and answers when it is told to.
    struct Slow(Mutex<Option<mpsc::Receiver<oneshot::Sender<()>>>>);

    type Answering<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

    #[tonic::async_trait]
    impl PeerService for Slow {
        type AppendStream = Answering<Frame>;
        type RelayStream = Answering<Answers>;

        async fn append(&self, _: Request<Streaming<Frame>>) -> Result<Response<Self::AppendStream>, Status> {
            let told = self.0.lock().unwrap().take().expect("one stream");
            let answers = ReceiverStream::new(told).map(|done| {
                let _ = done.send(());
                Ok(frame(&StreamAppendResult::<Types>::Ok(Some(LogId::new_term_index(1, 7)))))
            });
            Ok(Response::new(answers.boxed()))
        }

        async fn ask(&self, _: Request<Frame>) -> Result<Response<Frame>, Status> {
            Err(Status::unimplemented("nobody asks for it here"))
        }

        async fn install_snapshot(&self, _: Request<Streaming<Frame>>) -> Result<Response<Frame>, Status> {
            Err(Status::unimplemented("nobody asks for it here"))
        }

        async fn relay(&self, _: Request<Streaming<Calls>>) -> Result<Response<Self::RelayStream>, Status> {
            Err(Status::unimplemented("nobody asks for it here"))
        }
    }

    #[tokio::test]
    async fn an_answer_tells_of_its_own_message_and_not_of_the_one_after_it() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, told) = mpsc::channel(1);
        let site = PeerServiceServer::new(Slow(Mutex::new(Some(told))));
        tokio::spawn(Server::builder().add_service(site).serve_with_incoming(TcpListenerStream::new(listener)));

        let mut peers = Peers::new(None, BTreeMap::new(), Duration::from_secs(1));
        let mut link = peers.new_client(9, &Site { peer_url: url }).await;
        let (send, requests) = mpsc::channel(1);
        let append = || AppendEntriesRequest::<Types> {
            vote: Vote::new_committed(1, 3),
            prev_log_id: Some(LogId::new_term_index(1, 7)),
            entries: Vec::new(),
            leader_commit: None,
        };
        send.send(append()).await.unwrap();
        let mut answers = link.stream_append(ReceiverStream::new(requests), RPCOption::new(Duration::from_secs(1))).await.unwrap();
        let mut answer = async || {
            let (done, answered) = oneshot::channel();
            tell.send(done).await.unwrap();
            answers.next().await.unwrap().unwrap().unwrap();
            answered.await.unwrap();
        };
        let begun = Instant::now() - Duration::from_secs(60);
        while send.capacity() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let between = Instant::now();
        send.send(append()).await.unwrap();
        while send.capacity() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(!peers.heard().has(9, 1, begun), "nothing is answered");
        answer().await;
        assert!(peers.heard().has(9, 1, begun) && !peers.heard().has(9, 1, between), "only the first is answered");
        assert!(!peers.heard().has(9, 2, begun) && !peers.heard().has(8, 1, begun), "another term, another site");
        answer().await;
        assert!(peers.heard().has(9, 1, between));
    }
}
