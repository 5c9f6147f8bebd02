//! Ours: the deltas of a batch of changes, joined, are what is sent.

use std::{collections::BTreeSet, mem, sync::Arc};

use anyhow::Result;
use crdt::{
    OrSet, ReplicaId,
    codec::{Limits, Wire as _},
};

use super::{Replica, Watch};
use crate::workload::Change;

pub(crate) struct Ours {
    id: ReplicaId,
    set: OrSet<Arc<str>>,
    /// What the others have not heard of.
    news: OrSet<Arc<str>>,
}

impl Replica for Ours {
    fn new(id: u32) -> Self {
        Self { id: ReplicaId(id), set: OrSet::new(), news: OrSet::new() }
    }

    fn act(&mut self, changes: &[Change], watch: &mut Watch) -> Result<Vec<u8>> {
        for change in changes {
            let delta = match change {
                Change::Add(key) => self.set.add(self.id, key.clone()),
                Change::Remove(key) => self.set.remove(&**key),
            };
            self.news.merge(delta);
        }
        watch.changed();
        Ok(mem::take(&mut self.news).encode())
    }

    fn hear(&mut self, messages: &[Vec<u8>]) -> Result<()> {
        messages.iter().try_for_each(|message| self.merge_state(message))
    }

    fn members(&self) -> BTreeSet<Arc<str>> {
        self.set.iter().cloned().collect()
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        Ok(self.set.encode())
    }

    fn load(id: u32, state: &[u8]) -> Result<Self> {
        Ok(Self { id: ReplicaId(id), set: OrSet::decode(state, Limits::default())?, news: OrSet::new() })
    }

    fn merge_state(&mut self, state: &[u8]) -> Result<()> {
        Ok(self.set.merge_bytes(state, Limits::default())?)
    }

    fn merge(&mut self, other: Self) -> Option<Result<()>> {
        self.set.merge(other.set);
        Some(Ok(()))
    }
}
