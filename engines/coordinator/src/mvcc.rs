//! The state that Raft replicates: keys with all their versions since the last compaction, and the leases they hang on.
//!
//! Pure: no clock, no I/O, no randomness, so every site that applies the same commands holds the same bytes.
//!
//! ```text
//! keys      key ──> versions, oldest first: (modified, sub) created version lease value | tombstone
//! changes   (modified, sub, key), oldest first: what a watch reads
//! leases    id ──> TTL, keys
//! ```
//! A revision is one change of the state, however many keys it touches; `sub` numbers the keys within it.

mod events;
mod leases;
mod read;
mod txn;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::leases::Lease;
pub use self::{
    events::Filter,
    txn::{check_delete, check_put, check_range, check_txn, is_read_only},
};
use crate::{
    Refusal,
    wire::{
        coordinator::v1::{Command, Reply, command::Change, reply},
        etcdserverpb::{
            CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, ResponseHeader,
        },
        mvccpb::KeyValue,
    },
};

/// What a version costs beside its key and value.
const OVERHEAD: usize = 96;

/// What one change did to one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    modified: i64,
    sub: u32,
    created: i64,
    version: i64,
    lease: i64,
    /// None is a tombstone.
    value: Option<Bytes>,
}

impl Version {
    fn kv(&self, key: &Bytes) -> KeyValue {
        KeyValue {
            key: key.clone(),
            create_revision: self.created,
            mod_revision: self.modified,
            version: self.version,
            value: self.value.clone().unwrap_or_default(),
            lease: self.lease,
        }
    }

    fn size(&self, key: &[u8]) -> usize {
        key.len() + self.value.as_ref().map_or(0, Bytes::len) + OVERHEAD
    }
}

/// The versions of one key, oldest first; never empty. Shared with frozen states, and copied when it changes after that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct History(Arc<Vec<Version>>);

impl Serialize for History {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(|versions| Self(Arc::new(versions)))
    }
}

impl History {
    /// What the key was at `revision`; nothing when it was not there.
    fn at(&self, revision: i64) -> Option<&Version> {
        let newer = self.0.partition_point(|version| version.modified <= revision);
        self.0[..newer].last().filter(|version| version.value.is_some())
    }

    fn latest(&self) -> Option<&Version> {
        self.0.last().filter(|version| version.value.is_some())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Touched {
    modified: i64,
    sub: u32,
    key: Bytes,
}

/// Where clients reach a site, as it said itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Name of the site.
    pub name: String,
    /// Its addresses for clients.
    pub client_urls: Vec<String>,
}

/// The replicated state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mvcc {
    revision: i64,
    compacted: i64,
    keys: BTreeMap<Bytes, History>,
    leases: BTreeMap<i64, Lease>,
    published: BTreeMap<u64, Published>,
    #[serde(skip)]
    changes: VecDeque<Touched>,
    #[serde(skip)]
    size: usize,
}

impl Default for Mvcc {
    fn default() -> Self {
        Self {
            revision: 1,
            compacted: 0,
            keys: BTreeMap::new(),
            leases: BTreeMap::new(),
            published: BTreeMap::new(),
            changes: VecDeque::new(),
            size: 0,
        }
    }
}

/// Numbers the keys that one command changes.
#[derive(Debug)]
struct Step {
    revision: i64,
    sub: u32,
}

impl Mvcc {
    /// The revision of the last change.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Revisions below this one are gone; 0 when none is.
    #[must_use]
    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    /// About how many bytes of memory the versions take.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// What the sites said of themselves.
    #[must_use]
    pub fn published(&self) -> &BTreeMap<u64, Published> {
        &self.published
    }

    /// Carries a command out, or refuses it and leaves everything as it was.
    ///
    /// # Errors
    /// The refusal that the client is told.
    pub fn apply(&mut self, command: Command) -> Result<Reply, Refusal> {
        let reply = match command.change {
            Some(Change::Put(request)) => reply::Reply::Put(self.put(request)?),
            Some(Change::DeleteRange(request)) => reply::Reply::DeleteRange(self.delete_range(&request)),
            Some(Change::Txn(request)) => reply::Reply::Txn(self.txn(request)?),
            Some(Change::Compact(request)) => reply::Reply::Compact(self.compact(&request)?),
            Some(Change::Grant(request)) => reply::Reply::Grant(self.grant(&request)?),
            Some(Change::Revoke(request)) => reply::Reply::Revoke(self.revoke(request.id)?),
            Some(Change::Publish(site)) => {
                self.published.insert(site.id, Published { name: site.name, client_urls: site.client_urls });
                reply::Reply::Done(0)
            }
            // A newer site's command: this one must not go on as if nothing had been.
            None => return Err(Refusal::Corrupt),
        };
        Ok(Reply { reply: Some(reply) })
    }

    fn header(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader { revision: self.revision, ..ResponseHeader::default() })
    }

    fn step(&self) -> Step {
        Step { revision: self.revision + 1, sub: 0 }
    }

    /// The revision moves only when a key was touched.
    fn end(&mut self, step: &Step) {
        if step.sub > 0 {
            self.revision = step.revision;
        }
    }

    fn put(&mut self, request: PutRequest) -> Result<PutResponse, Refusal> {
        self.allow_put(&request)?;
        let mut step = self.step();
        let mut response = self.put_in(&mut step, request);
        self.end(&step);
        response.header = self.header();
        Ok(response)
    }

    /// What only the state can tell of a put.
    fn allow_put(&self, request: &PutRequest) -> Result<(), Refusal> {
        let there = || self.keys.get(&request.key).and_then(History::latest).is_some();
        if (request.ignore_value || request.ignore_lease) && !there() {
            return Err(Refusal::KeyNotFound);
        }
        if request.lease != 0 && !self.leases.contains_key(&request.lease) {
            return Err(Refusal::LeaseNotFound);
        }
        Ok(())
    }

    /// A put that has been allowed.
    fn put_in(&mut self, step: &mut Step, request: PutRequest) -> PutResponse {
        let before = self.keys.get(&request.key).and_then(History::latest).cloned();
        let (value, lease) = before.as_ref().map_or((None, 0), |version| (version.value.clone(), version.lease));
        let value = if request.ignore_value { value.unwrap_or_default() } else { request.value };
        let new_lease = if request.ignore_lease { lease } else { request.lease };
        let version = Version {
            modified: step.revision,
            sub: step.sub,
            created: before.as_ref().map_or(step.revision, |version| version.created),
            version: before.as_ref().map_or(1, |version| version.version + 1),
            lease: new_lease,
            value: Some(value),
        };
        let key = self.write(step, &request.key, version);
        self.move_lease(&key, lease, new_lease);
        let prev_kv = before.filter(|_| request.prev_kv).map(|version| version.kv(&key));
        PutResponse { header: None, prev_kv }
    }

    /// Adds a version and gives back the key's own copy: a command's buffer must not live as long as the key.
    fn write(&mut self, step: &mut Step, key: &Bytes, version: Version) -> Bytes {
        self.size += version.size(key);
        let own = match self.keys.get_key_value(key) {
            Some((own, _)) => own.clone(),
            None => Bytes::copy_from_slice(key),
        };
        self.changes.push_back(Touched { modified: version.modified, sub: version.sub, key: own.clone() });
        let history = Arc::make_mut(&mut self.keys.entry(own.clone()).or_default().0);
        if history.len() == history.capacity() {
            // Most keys have few versions, and the usual first step is to room for four.
            history.reserve_exact(history.len().div_ceil(2).max(1));
        }
        history.push(version);
        step.sub += 1;
        own
    }

    fn delete_range(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let mut step = self.step();
        let mut response = self.delete_range_in(&mut step, request);
        self.end(&step);
        response.header = self.header();
        response
    }

    fn delete_range_in(&mut self, step: &mut Step, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let found =
            self.within(&request.key, &request.range_end).filter_map(|(key, history)| Some((key.clone(), history.latest()?.clone())));
        let found: Vec<_> = found.collect();
        for (key, version) in &found {
            self.bury(step, key, version.lease);
        }
        let deleted = i64::try_from(found.len()).unwrap_or(i64::MAX);
        let prev_kvs = if request.prev_kv { found.iter().map(|(key, version)| version.kv(key)).collect() } else { Vec::new() };
        DeleteRangeResponse { header: None, deleted, prev_kvs }
    }

    /// Deletes a key that is there.
    fn bury(&mut self, step: &mut Step, key: &Bytes, lease: i64) {
        let tombstone = Version { modified: step.revision, sub: step.sub, created: 0, version: 0, lease: 0, value: None };
        let key = self.write(step, key, tombstone);
        self.move_lease(&key, lease, 0);
    }

    fn compact(&mut self, request: &CompactionRequest) -> Result<CompactionResponse, Refusal> {
        if request.revision <= self.compacted {
            return Err(Refusal::Compacted);
        }
        if request.revision > self.revision {
            return Err(Refusal::FutureRevision);
        }
        let upto = request.revision;
        let end = self.changes.partition_point(|touched| touched.modified <= upto);
        let touched: Vec<Touched> = self.changes.iter().take(end).cloned().collect();
        for touched in &touched {
            self.forget(&touched.key, upto);
        }
        // What happened at the revision itself can still be watched.
        let gone = self.changes.partition_point(|touched| touched.modified < upto);
        self.changes.drain(..gone);
        self.changes.shrink_to(self.changes.len() * 2);
        self.compacted = upto;
        Ok(CompactionResponse { header: self.header() })
    }

    /// Drops the versions of a key that no read at `upto` or later can see.
    fn forget(&mut self, key: &Bytes, upto: i64) {
        let Some(history) = self.keys.get_mut(key) else { return };
        let newer = history.0.partition_point(|version| version.modified <= upto);
        let Some(last) = newer.checked_sub(1) else { return };
        let kept = if history.0[last].value.is_some() || history.0[last].modified == upto { last } else { newer };
        let history = Arc::make_mut(&mut history.0);
        self.size -= history.drain(..kept).map(|version| version.size(key)).sum::<usize>();
        history.shrink_to_fit();
        if history.is_empty() {
            self.keys.remove(key);
        }
    }

    /// The state as it is now, for a snapshot; what a snapshot leaves out is left out. Costs a step for each key, not for each version.
    #[must_use]
    pub fn frozen(&self) -> Self {
        Self { keys: self.keys.clone(), leases: self.leases.clone(), published: self.published.clone(), changes: VecDeque::new(), ..*self }
    }

    /// Rebuilds what a snapshot leaves out.
    #[must_use]
    pub fn restored(mut self) -> Self {
        let compacted = self.compacted;
        let mut changes = Vec::new();
        self.size = 0;
        for (key, history) in &self.keys {
            self.size += history.0.iter().map(|version| version.size(key)).sum::<usize>();
            let recent = history.0.iter().filter(|version| version.modified >= compacted);
            changes.extend(recent.map(|version| Touched { modified: version.modified, sub: version.sub, key: key.clone() }));
        }
        changes.sort_unstable_by_key(|touched| (touched.modified, touched.sub));
        self.changes = changes.into();
        self
    }

    /// A checksum over the versions up to `revision`: equal on all sites that hold the same.
    ///
    /// # Errors
    /// When the revision is gone or has not been yet.
    pub fn hash(&self, revision: i64) -> Result<u32, Refusal> {
        let revision = self.readable(revision)?;
        let mut sum = crc32c::crc32c(&self.compacted.to_le_bytes());
        for (key, history) in &self.keys {
            for version in history.0.iter().filter(|version| version.modified <= revision) {
                for number in [version.modified, i64::from(version.sub), version.created, version.version, version.lease] {
                    sum = crc32c::crc32c_append(sum, &number.to_le_bytes());
                }
                sum = crc32c::crc32c_append(sum, key);
                sum = crc32c::crc32c_append(sum, version.value.as_deref().unwrap_or_default());
            }
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests;
