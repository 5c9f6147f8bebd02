//! One site: its Raft, its state, and the way from a client's call to the leader and back.
//!
//! A call that changes something, or that only the leader can answer, is passed on when this site does not lead. A call whose outcome is
//! unknown, because the leader went away while it had it, is answered with an error that says so, and is never repeated here.

mod leases;
mod majority;
mod members;
mod reads;
mod relay;

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use openraft::{
    ReadPolicy, SnapshotPolicy,
    async_runtime::watch::WatchReceiver as _,
    errors::{ClientWriteError, RaftError},
};
use prost::Message as _;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::relay::Relays;
use crate::{
    Refusal,
    raft::{Change, Heard, Log, Machine, Peers, Raft, Site, Snapshots, State},
    wal,
    wire::{
        coordinator::v1::{
            Command, ForwardRequest, ForwardResponse, Publish, Reply, command, forward_request::Request, forward_response::Response,
        },
        etcdserverpb::ResponseHeader,
    },
};

/// What a site needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of this site.
    pub name: String,
    /// Where it keeps its log and snapshots.
    pub data: PathBuf,
    /// Where the other sites reach it.
    pub peer_url: String,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Name of the whole: sites of different clusters do not know each other.
    pub cluster: String,
    /// Peer addresses of all sites, when this is the first start of all of them. Empty when this site joins others.
    pub initial: Vec<String>,
    /// The address that its calls to other sites come from.
    pub source: Option<IpAddr>,
    /// Where it calls those sites that it does not reach at their peer URL: its own ends of the links to them.
    pub routes: BTreeMap<String, String>,
    /// A site that has not heard from its leader for this long may ask to lead, up to as long again later.
    pub election_timeout: Duration,
    /// How a read makes sure that it sees everything before it.
    pub reads: ReadPolicy,
    /// Bytes of keys and values beyond which nothing more is taken.
    pub quota: usize,
    /// Entries of the log between two snapshots.
    pub snapshot_after: u64,
    /// Layout of the log.
    pub wal: wal::Options,
}

impl Options {
    /// Whether a leader answers reads alone while a majority has heard of it lately.
    #[must_use]
    pub fn has_lease_reads(&self) -> bool {
        self.reads == ReadPolicy::LeaseRead
    }
}

/// Why a site cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its log cannot be used.
    #[error("open the log")]
    Log(#[from] wal::Error),
    /// Its snapshots cannot be used.
    #[error("open the snapshots")]
    Snapshots(#[source] std::io::Error),
    /// Settings that Raft refuses.
    #[error("settings of raft: {0}")]
    Settings(#[from] openraft::ConfigError),
    /// Raft has stopped, or never began.
    #[error("raft: {0}")]
    Raft(String),
}

#[derive(Debug)]
struct Inner {
    id: u64,
    cluster_id: u64,
    options: Options,
    raft: Raft,
    state: Arc<State>,
    relays: Relays,
    heard: Heard,
    /// Term and index of the last entry when this process began. A leader that starts again within an election timeout goes on leading in its
    /// term, and has forgotten how much of that it had acknowledged.
    began_with: (u64, u64),
    /// Whether this site leads and hears no majority.
    alone: watch::Sender<bool>,
    reads: mpsc::UnboundedSender<oneshot::Sender<Result<(), Refusal>>>,
    request_timeout: Duration,
}

/// One site. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Node(Arc<Inner>);

/// A number for a text, the same everywhere and for ever (FNV-1a).
fn number(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The number of the site at a peer address.
#[must_use]
pub fn site_id(peer_url: &str) -> u64 {
    number(peer_url)
}

fn raft_config(options: &Options) -> Result<openraft::Config, openraft::ConfigError> {
    let timeout = u64::try_from(options.election_timeout.as_millis()).unwrap_or(u64::MAX);
    openraft::Config {
        cluster_name: options.cluster.clone(),
        heartbeat_interval: timeout / 5,
        election_timeout_min: timeout * 3 / 5,
        election_timeout_max: timeout,
        install_snapshot_timeout: 60_000,
        max_payload_entries: 1024,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(options.snapshot_after),
        max_in_snapshot_log_to_keep: options.snapshot_after / 5,
        replication_lag_threshold: options.snapshot_after * 2,
        enable_pre_vote: Some(true),
        // A leader that is heard and does not hear must fall silent, or nobody else could be elected.
        quorum_loss_probe_interval: Some(timeout * 3),
        ..openraft::Config::default()
    }
    .validate()
}

impl Node {
    /// Reads what is on disk and joins the others. Ends its own work when `shutdown` is cancelled, but not Raft: see [`Node::leave`].
    ///
    /// # Errors
    /// When the disk holds what cannot be used, or settings are refused.
    pub async fn start(options: Options, shutdown: CancellationToken) -> Result<Self, Error> {
        let folder = wal::Folder::open(options.data.join("log")).map_err(Error::Snapshots)?;
        let wal = options.wal;
        let log = tokio::task::spawn_blocking(move || Log::open(folder, wal)).await.map_err(|error| Error::Raft(error.to_string()))??;
        Self::start_with(log, options, shutdown).await
    }

    /// The same with a log that is open.
    pub(crate) async fn start_with(log: Log, options: Options, shutdown: CancellationToken) -> Result<Self, Error> {
        let config = Arc::new(raft_config(&options)?);
        let snapshots = Snapshots::open(options.data.join("snapshot")).map_err(Error::Snapshots)?;
        let state = Arc::new(State::default());
        let machine = Machine::new(state.clone(), snapshots);
        let id = site_id(&options.peer_url);
        let peers = Peers::new(options.source, options.routes.clone(), options.election_timeout * 2);
        if options.has_lease_reads() {
            // It may have answered a leader right before it ended, and has forgotten when: so it elects nobody before that leader's lease ends.
            tokio::time::sleep(options.election_timeout).await;
        }
        let began_with = log.begins_with();
        let raft = Raft::new(id, config, peers.clone(), log, machine).await.map_err(|error| Error::Raft(error.to_string()))?;
        let heard = peers.heard().clone();
        let relays = Relays::new(peers, options.election_timeout * 2);
        let alone = watch::Sender::new(false);
        let (reads, asked) = mpsc::unbounded_channel();
        let request_timeout = Duration::from_secs(5) + options.election_timeout * 2;
        let cluster_id = number(&options.cluster);
        let node = Self(Arc::new(Inner { id, cluster_id, options, raft, state, relays, heard, began_with, alone, reads, request_timeout }));
        node.found().await?;
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(node.clone().serve_reads(asked)));
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(node.clone().end_leases()));
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(node.clone().watch_majority()));
        tokio::spawn(shutdown.run_until_cancelled_owned(node.clone().publish()));
        Ok(node)
    }

    /// At the very first start the sites agree on who they are; each may say so, as all say the same.
    async fn found(&self) -> Result<(), Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Raft(error.to_string());
        let is_known = self.raft().is_initialized().await.map_err(|error| failed(&error))?;
        if is_known || self.0.options.initial.is_empty() {
            return Ok(());
        }
        let sites = self.0.options.initial.iter().map(|url| (site_id(url), Site { peer_url: url.clone() }));
        let sites: BTreeMap<u64, Site> = sites.collect();
        self.raft().initialize(sites).await.map_err(|error| failed(&error))
    }

    /// Says where clients reach this site, until everybody knows.
    async fn publish(self) {
        let options = &self.0.options;
        loop {
            let known = self.state().mvcc().published().get(&self.id()).cloned();
            if known.is_some_and(|known| known.name == options.name && known.client_urls == options.client_urls) {
                return;
            }
            let site = Publish { id: self.id(), name: options.name.clone(), client_urls: options.client_urls.clone() };
            let _ = self.propose(command::Change::Publish(site)).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Its Raft.
    #[must_use]
    pub(crate) fn raft(&self) -> &Raft {
        &self.0.raft
    }

    /// The state that has been applied here.
    #[must_use]
    pub(crate) fn state(&self) -> &State {
        &self.0.state
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// How it was set up.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// The term it knows of.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.raft().server_metrics().borrow_watched().vote.leader_id().term
    }

    /// The leader it knows of.
    #[must_use]
    pub fn leader(&self) -> Option<u64> {
        self.raft().server_metrics().borrow_watched().current_leader
    }

    /// What every answer begins with.
    #[must_use]
    pub fn header(&self, revision: i64) -> ResponseHeader {
        ResponseHeader { cluster_id: self.0.cluster_id, member_id: self.id(), revision, raft_term: self.term() }
    }

    /// The header of an answer that came with a revision of its own.
    pub(crate) fn complete(&self, header: &mut Option<ResponseHeader>) {
        let revision = header.as_ref().map_or_else(|| self.state().mvcc().revision(), |header| header.revision);
        *header = Some(self.header(revision));
    }

    /// Has a change carried out by all sites.
    ///
    /// # Errors
    /// When it is refused, or when its outcome is unknown.
    pub async fn propose(&self, change: command::Change) -> Result<Reply, Refusal> {
        if takes_space(&change) && self.is_full() {
            return Err(Refusal::NoSpace);
        }
        let command = Command { change: Some(change) }.encode_to_vec();
        match self.at_leader(Request::Command(command.into())).await? {
            Response::Reply(reply) => Ok(reply),
            _ => Err(Refusal::Unhealthy),
        }
    }

    /// Whether its keys and values have reached the quota.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.state().mvcc().size() > self.0.options.quota
    }

    /// Answers another site that takes this one for the leader.
    pub(crate) async fn answer(self, request: ForwardRequest) -> ForwardResponse {
        let response = match request.request {
            Some(request) if self.leader() == Some(self.id()) => self.answer_here(request).await,
            Some(_) => Err(Refusal::NotLeader),
            None => Err(Refusal::Unhealthy),
        };
        ForwardResponse { number: request.number, response: Some(response.unwrap_or_else(|refusal| Response::Refusal(refusal.number()))) }
    }

    /// Answers as the leader. `NotLeader` says that nothing has been done.
    async fn answer_here(&self, request: Request) -> Result<Response, Refusal> {
        match request {
            Request::Command(command) => self.write(command).await.map(Response::Reply),
            Request::ReadIndex(_) => self.read_index().await.map(Response::ReadIndex),
            Request::KeepAlive(id) => self.renew(id).await.map(Response::TimeToLive),
            Request::TimeToLive(request) => self.time_left(request.id).await.map(Response::TimeToLive),
            Request::MemberAdd(request) => self.add_member(&request).await.map(Response::Member),
            Request::MemberPromote(request) => self.promote_member(request.id).await.map(Response::Member),
            Request::MemberRemove(request) => self.remove_member(request.id).await.map(Response::Member),
            Request::MemberUpdate(request) => self.update_member(&request).await.map(Response::Member),
        }
    }

    /// Takes an encoded [`Command`].
    async fn write(&self, command: Bytes) -> Result<Reply, Refusal> {
        match self.unless_alone(self.raft().client_write(Change(command))).await? {
            Ok(written) => written.data.0,
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => Err(Refusal::NotLeader),
            Err(RaftError::APIError(_)) => Err(Refusal::LeaderChanged),
            Err(RaftError::Fatal(_)) => Err(Refusal::Stopped),
        }
    }

    /// Has the leader answer, wherever it is. Waits for one to be there.
    pub(crate) async fn at_leader(&self, request: Request) -> Result<Response, Refusal> {
        let answered = tokio::time::timeout(self.0.request_timeout, self.find_leader(request));
        answered.await.unwrap_or(Err(Refusal::TimedOut))
    }

    async fn find_leader(&self, request: Request) -> Result<Response, Refusal> {
        let begun = Instant::now();
        let mut metrics = self.raft().server_metrics();
        loop {
            let leader = {
                let known = metrics.borrow_and_update();
                known.current_leader.and_then(|id| Some((id, known.membership_config.get_node(&id)?.peer_url.clone())))
            };
            let answer = match leader {
                None => None,
                Some((id, _)) if id == self.id() => Some(self.answer_here(request.clone()).await),
                Some((id, url)) => self.0.relays.pass_on(self.raft(), id, &url, request.clone()).await,
            };
            match answer {
                // Nothing has been done, so somebody else can be asked: at the latest when there is a new leader.
                None | Some(Err(Refusal::NotLeader)) => {
                    // A leader without a majority is cut off, and its clients do better elsewhere.
                    if self.is_alone() && begun.elapsed() > self.0.options.election_timeout {
                        return Err(Refusal::NoLeader);
                    }
                    let changed = tokio::time::timeout(Duration::from_millis(20), metrics.changed()).await;
                    if matches!(changed, Ok(Err(_))) {
                        return Err(Refusal::Stopped);
                    }
                }
                Some(answer) => return answer,
            }
        }
    }

    /// Returns when Raft has stopped by itself, e.g. as the disk failed, and says why.
    pub(crate) async fn failed(&self) -> String {
        // All metrics change with every entry; these change seldom, and end with Raft.
        let mut seldom = self.raft().server_metrics();
        while seldom.changed().await.is_ok() {}
        let metrics = self.raft().metrics();
        let state = metrics.borrow_watched().running_state.clone();
        state.err().map_or_else(|| "raft is gone".to_owned(), |fatal| fatal.to_string())
    }

    /// All of its state as it is now, packed as its own snapshots are, and the revision.
    ///
    /// # Errors
    /// When Raft has stopped.
    pub async fn snapshot(&self) -> Result<(i64, Bytes), Refusal> {
        let frozen = self.raft().with_state_machine(|machine| Box::pin(async move { machine.freeze() })).await;
        frozen.map_err(|_| Refusal::Stopped)?.pack().await.map_err(|_| Refusal::Stopped)
    }

    /// Hands leadership over when this site has it, and stops Raft.
    pub async fn leave(&self) {
        let others = self.raft().voter_ids().find(|id| *id != self.id());
        if self.leader() == Some(self.id())
            && let Some(other) = others
        {
            let _ = self.hand_over(other).await;
        }
        if let Err(error) = self.raft().shutdown().await {
            tracing::warn!(%error, "raft did not stop cleanly");
        }
    }

    /// Has another site lead, and waits until it does.
    ///
    /// # Errors
    /// When it does not within a few election timeouts.
    pub async fn hand_over(&self, to: u64) -> Result<(), Refusal> {
        self.raft().trigger().transfer_leader(to).await.map_err(|_| Refusal::Stopped)?;
        let wait = self.raft().wait(Some(self.0.options.election_timeout * 4));
        wait.current_leader(to, "handed over").await.map(|_| ()).map_err(|_| Refusal::TimedOut)
    }
}

/// Whether a change is refused when there is no space left.
fn takes_space(change: &command::Change) -> bool {
    use crate::wire::etcdserverpb::request_op::Request;
    match change {
        command::Change::Put(_) | command::Change::Grant(_) => true,
        command::Change::Txn(txn) => {
            txn.success.iter().chain(&txn.failure).any(|op| matches!(op.request, Some(Request::RequestPut(_) | Request::RequestTxn(_))))
        }
        _ => false,
    }
}
