//! Raft's log: all entries that have not been purged, in memory and in the [`Wal`].

use std::{
    collections::VecDeque,
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use openraft::{
    LogState, OptionalSend, RaftLogReader, RaftTypeConfig,
    entry::RaftEntry as _,
    storage::{IOFlushed, RaftLogStorage},
};
use tokio::sync::oneshot;

use super::{
    Entry, LogId, Types, Vote,
    frame::{decode, encode},
};
use crate::wal::{self, Disk, Item, Op, Wal};

/// Bytes of entries in one message to another site; a single larger entry goes alone.
const MESSAGE: usize = 1 << 20;

#[derive(Debug, Default)]
struct Held {
    entries: VecDeque<Entry>,
    /// Index of the first entry, or of the next when there is none.
    first: u64,
    purged: Option<LogId>,
    vote: Option<Vote>,
    committed: Option<LogId>,
}

impl Held {
    fn position(&self, index: u64) -> usize {
        usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.entries.len())
    }

    fn between(&self, range: &impl RangeBounds<u64>) -> impl Iterator<Item = &Entry> {
        let start = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(index) => index + 1,
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        let (start, end) = (self.position(start), self.position(end));
        self.entries.range(start..end.max(start))
    }
}

/// Raft's log. Cheap to clone; all clones are the same log.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    held: Arc<Mutex<Held>>,
    wal: Arc<Wal>,
}

impl Log {
    /// Reads the log back.
    ///
    /// # Errors
    /// When it is damaged or the disk refuses.
    pub(crate) fn open<D: Disk>(disk: D, options: wal::Options) -> Result<Self, wal::Error> {
        let (wal, recovered) = Wal::open(disk, options)?;
        if recovered.torn > 0 {
            tracing::warn!(bytes = recovered.torn, "the log ended within a write that nobody was told of; it has been cut off");
        }
        let meaningless = |source| wal::Error::Disk { what: "make sense".to_owned(), source };
        let mut held = Held { first: recovered.first, ..Held::default() };
        for bytes in &recovered.entries {
            held.entries.push_back(decode(bytes).map_err(meaningless)?);
        }
        let read = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| decode(bytes)).transpose().map_err(meaningless);
        (held.purged, held.committed) = (read(&recovered.purged)?, read(&recovered.committed)?);
        held.vote = recovered.vote.as_ref().map(|bytes| decode(bytes)).transpose().map_err(meaningless)?;
        Ok(Self { held: Arc::new(Mutex::new(held)), wal: Arc::new(wal) })
    }

    /// Term of the vote, and index of the last entry, as they are before Raft begins; 0 when there is none.
    pub(crate) fn begins_with(&self) -> (u64, u64) {
        let held = self.held();
        let last = held.entries.back().map(openraft::entry::RaftEntry::log_id).or(held.purged);
        (held.vote.map_or(0, |vote| vote.leader_id.term), last.map_or(0, |last| last.index))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing that holds it can panic halfway through a change.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes and waits until it is durable.
    async fn durably(&self, items: Vec<Item>) -> io::Result<()> {
        let (sender, done) = oneshot::channel();
        let done_by = Box::new(move |result| {
            let _ = sender.send(result);
        });
        self.wal.write(Op { items, done: Some(done_by) });
        done.await.unwrap_or_else(|_| Err(io::Error::other("the log is closed")))
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(&mut self, range: RB) -> io::Result<Vec<Entry>> {
        Ok(self.held().between(&range).cloned().collect())
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.held().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let mut bytes = 0;
        let held = self.held();
        let range = start..end;
        let entries = held.between(&range).take_while(|entry| {
            let fits = bytes == 0 || bytes < MESSAGE;
            bytes += size(entry);
            fits
        });
        Ok(entries.cloned().collect())
    }
}

fn size(entry: &Entry) -> usize {
    let bytes = if let openraft::EntryPayload::Normal(change) = &entry.payload { change.0.len() } else { 0 };
    bytes + 32
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let held = self.held();
        let last_log_id = held.entries.back().map(openraft::entry::RaftEntry::log_id).or(held.purged);
        Ok(LogState { last_purged_log_id: held.purged, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.durably(vec![Item::Vote(encode(vote))]).await?;
        self.held().vote = Some(*vote);
        Ok(())
    }

    /// Only tells how far a restart may go without asking anybody, so it waits for the next write.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let Some(committed) = committed else { return Ok(()) };
        self.wal.write(Op { items: vec![Item::Committed(encode(&committed))], done: None });
        self.held().committed = Some(committed);
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.held().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = <Types as RaftTypeConfig>::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut items = Vec::new();
        {
            let mut held = self.held();
            for entry in entries {
                let index = entry.log_id().index;
                if held.entries.is_empty() {
                    held.first = index;
                }
                items.push(Item::Entry(index, encode(&entry)));
                held.entries.push_back(entry);
            }
        }
        let done = Box::new(move |result| callback.io_completed(result));
        self.wal.write(Op { items, done: Some(done) });
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |last| last.index + 1);
        {
            let mut held = self.held();
            let kept = held.position(from);
            held.entries.truncate(kept);
        }
        // What follows is written after it, and nobody is told of that before both are durable.
        self.wal.write(Op { items: vec![Item::Truncate(from)], done: None });
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        {
            let mut held = self.held();
            let gone = held.position(upto.index + 1);
            held.entries.drain(..gone);
            held.first = held.first.max(upto.index + 1);
            held.purged = Some(upto);
        }
        self.durably(vec![Item::Purge(upto.index, encode(&upto))]).await
    }
}
