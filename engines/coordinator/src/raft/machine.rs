//! The state machine: applies what Raft has committed to [`Mvcc`], and makes and takes snapshots of it.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    entry::RaftEntry as _,
    storage::{EntryResponder, RaftStateMachine},
};
use prost::Message as _;
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use super::{
    Answer, Body, Change, LogId, Membership, Snapshot, SnapshotMeta, Snapshots, Types,
    frame::{decode, encode, encode_into},
    snapshot::pack,
};
use crate::{
    Refusal,
    lessor::Lessor,
    mvcc::Mvcc,
    wire::coordinator::v1::{Command, Reply, reply},
};

/// Entries that are applied under one lock.
const TOGETHER: usize = 256;
/// Priority of the threads that write and read snapshots.
const NICE: i32 = 10;

/// How far the state has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Index of the last applied entry.
    pub(crate) index: u64,
    /// Revision of the keys.
    pub(crate) revision: i64,
}

/// The state that reads see; shared by the machine and the calls of clients.
#[derive(Debug)]
pub(crate) struct State {
    mvcc: RwLock<Mvcc>,
    lessor: Mutex<Lessor>,
    applied: watch::Sender<Applied>,
    started: Instant,
}

impl Default for State {
    fn default() -> Self {
        Self { mvcc: RwLock::default(), lessor: Mutex::default(), applied: watch::Sender::default(), started: Instant::now() }
    }
}

impl State {
    /// The keys and leases as they are now.
    pub(crate) fn mvcc(&self) -> RwLockReadGuard<'_, Mvcc> {
        // A panic while applying ends the process before anybody could see half a change.
        self.mvcc.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lessor(&self) -> MutexGuard<'_, Lessor> {
        self.lessor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells how far the state has come, and each time it goes on.
    #[must_use]
    pub(crate) fn applied(&self) -> watch::Receiver<Applied> {
        self.applied.subscribe()
    }

    /// Monotonic time since this process began.
    #[must_use]
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn set(&self, change: impl FnOnce(&mut Mvcc)) {
        change(&mut self.mvcc.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Lets the lessor know of leases that came and went.
    fn note(&self, reply: &Reply, revoked: Option<i64>) {
        match &reply.reply {
            Some(reply::Reply::Grant(grant)) => self.lessor().granted(grant.id, grant.ttl, self.now()),
            Some(reply::Reply::Revoke(_)) => revoked.into_iter().for_each(|id| self.lessor().revoked(id)),
            _ => {}
        }
    }
}

/// The state machine as Raft sees it.
#[derive(Debug)]
pub(crate) struct Machine {
    state: Arc<State>,
    snapshots: Snapshots,
    applied: Option<LogId>,
    membership: Membership,
}

impl Machine {
    /// An empty state; what the last snapshot holds is put in before Raft begins.
    #[must_use]
    pub(crate) fn new(state: Arc<State>, snapshots: Snapshots) -> Self {
        Self { state, snapshots, applied: None, membership: Membership::default() }
    }

    /// The state as it is now; what goes on does not change it.
    pub(crate) fn freeze(&self) -> Frozen {
        let meta = SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() };
        Frozen { meta, mvcc: self.state.mvcc().frozen() }
    }

    fn publish(&self) {
        let applied = Applied { index: self.applied.map_or(0, |applied| applied.index), revision: self.state.mvcc().revision() };
        self.state.applied.send_replace(applied);
    }
}

fn carry_out(mvcc: &mut Mvcc, change: &Change) -> io::Result<(Answer, Option<i64>)> {
    let command = Command::decode(change.0.clone()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let revoked =
        if let Some(crate::wire::coordinator::v1::command::Change::Revoke(revoke)) = &command.change { Some(revoke.id) } else { None };
    match mvcc.apply(command) {
        Err(Refusal::Corrupt) => Err(io::Error::new(io::ErrorKind::InvalidData, "the log holds a command of a newer version")),
        result => Ok((Answer(result), revoked)),
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = Body;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, Membership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let mut entries = entries.ready_chunks(TOGETHER);
        while let Some(chunk) = entries.next().await {
            let mut answers = Vec::with_capacity(chunk.len());
            let mut failed = None;
            self.state.set(|mvcc| {
                for entry in chunk {
                    let result = entry.and_then(|(entry, responder)| {
                        self.applied = Some(entry.log_id());
                        let (answer, revoked) = match &entry.payload {
                            EntryPayload::Normal(change) => carry_out(mvcc, change)?,
                            EntryPayload::Blank => (Answer(Ok(Reply::default())), None),
                            EntryPayload::Membership(membership) => {
                                self.membership = Membership::new(self.applied, membership.clone());
                                (Answer(Ok(Reply::default())), None)
                            }
                        };
                        answers.push((answer, revoked, responder));
                        Ok(())
                    });
                    if let Err(error) = result {
                        failed = Some(error);
                        break;
                    }
                }
            });
            self.publish();
            for (answer, revoked, responder) in answers {
                if let Ok(reply) = &answer.0 {
                    self.state.note(reply, revoked);
                }
                if let Some(responder) = responder {
                    responder.send(answer);
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { frozen: Some(self.freeze()), snapshots: self.snapshots.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Body) -> io::Result<()> {
        let (snapshots, saved) = (self.snapshots.clone(), meta.clone());
        let restored = in_background(move || {
            let bytes = snapshot.whole()?;
            let restored = decode::<Mvcc>(&bytes)?.restored();
            snapshots.save(&saved, |out| out.write_all(&bytes))?;
            Ok(restored)
        });
        let restored = restored.await?;
        self.state.set(|mvcc| *mvcc = restored);
        (self.applied, self.membership) = (meta.last_log_id, meta.last_membership.clone());
        self.publish();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let snapshots = self.snapshots.clone();
        in_background(move || snapshots.load()).await
    }
}

/// The state as it was at one place of the log.
#[derive(Debug)]
pub(crate) struct Frozen {
    meta: SnapshotMeta,
    mvcc: Mvcc,
}

impl Frozen {
    /// All of it as one piece of bytes, and its revision.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub(crate) async fn pack(self) -> io::Result<(i64, Bytes)> {
        in_background(move || Ok((self.mvcc.revision(), pack(&self.meta, &encode(&self.mvcc))))).await
    }
}

/// A snapshot that is to be written.
#[derive(Debug)]
pub(crate) struct Builder {
    frozen: Option<Frozen>,
    snapshots: Snapshots,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Body;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let frozen = self.frozen.take().ok_or_else(|| io::Error::other("a snapshot is built once"))?;
        let snapshots = self.snapshots.clone();
        in_background(move || snapshots.save(&frozen.meta, |out| encode_into(&frozen.mvcc, out))).await
    }
}

/// Does `work` on a thread that makes way for all others: a large state takes seconds, and the log must go on meanwhile.
async fn in_background<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    if crate::is_simulated() {
        return work();
    }
    let (done, result) = oneshot::channel();
    std::thread::Builder::new().name("snapshot".to_owned()).spawn(move || {
        // Linux takes "this process" for the calling thread alone. Without it the work is only less polite.
        let _ = rustix::process::setpriority_process(None, NICE);
        let _ = done.send(work());
    })?;
    result.await.unwrap_or_else(|_| Err(io::Error::other("the thread of a snapshot ended early")))
}
