//! `automerge`: a map from key to `true`; a batch of changes is one of its changes. It keeps the whole history.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, Result};
use automerge::{ActorId, Automerge, AutomergeError, ROOT, ReadDoc as _, transaction::Transactable as _};

use super::{Replica, Watch};
use crate::workload::Change;

/// What is sent is compressed if `COMPRESSED`, which is smaller and slower.
pub(crate) struct Document<const COMPRESSED: bool>(Automerge);

impl<const COMPRESSED: bool> Replica for Document<COMPRESSED> {
    fn new(id: u32) -> Self {
        let mut document = Automerge::new();
        document.set_actor(ActorId::from(id.to_be_bytes()));
        Self(document)
    }

    fn act(&mut self, changes: &[Change], watch: &mut Watch) -> Result<Vec<u8>> {
        let made = self.0.transact::<_, _, AutomergeError>(|transaction| {
            for change in changes {
                match change {
                    Change::Add(key) => transaction.put(ROOT, &**key, true)?,
                    Change::Remove(key) => transaction.delete(ROOT, &**key)?,
                }
            }
            Ok(())
        });
        let hash = made.map_err(|failed| failed.error)?.hash;
        watch.changed();
        // Nothing to say when the document was already as the changes want it.
        let Some(hash) = hash else { return Ok(Vec::new()) };
        let mut change = self.0.get_change_by_hash(&hash).context("the change that was just made")?;
        Ok(if COMPRESSED { change.bytes().into_owned() } else { change.raw_bytes().to_vec() })
    }

    fn hear(&mut self, messages: &[Vec<u8>]) -> Result<()> {
        let mut changes = Vec::with_capacity(messages.len());
        for message in messages.iter().filter(|message| !message.is_empty()) {
            changes.push(automerge::Change::try_from(message.as_slice())?);
        }
        Ok(self.0.apply_changes(changes)?)
    }

    fn members(&self) -> BTreeSet<Arc<str>> {
        self.0.keys(ROOT).map(Arc::from).collect()
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        Ok(self.0.save())
    }

    fn load(id: u32, state: &[u8]) -> Result<Self> {
        let mut document = Automerge::load(state)?;
        document.set_actor(ActorId::from(id.to_be_bytes()));
        Ok(Self(document))
    }

    fn merge_state(&mut self, state: &[u8]) -> Result<()> {
        self.0.load_incremental(state)?;
        Ok(())
    }

    fn merge(&mut self, mut other: Self) -> Option<Result<()>> {
        Some(self.0.merge(&mut other.0).map(drop).map_err(Into::into))
    }
}
