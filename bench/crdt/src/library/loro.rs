//! `loro`: a map from key to `true`. It keeps the whole history; of two concurrent changes of a key the one with the later Lamport clock wins.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::Result;
use loro::{ExportMode, LoroDoc, LoroMap};

use super::{Replica, Watch};
use crate::workload::Change;

pub(crate) struct Document {
    document: LoroDoc,
    map: LoroMap,
}

impl Document {
    fn of(id: u32, document: LoroDoc) -> Result<Self> {
        document.set_peer_id(u64::from(id))?;
        let map = document.get_map("set");
        Ok(Self { document, map })
    }
}

impl Replica for Document {
    fn new(id: u32) -> Self {
        Self::of(id, LoroDoc::new()).expect("a new document takes any id")
    }

    fn act(&mut self, changes: &[Change], watch: &mut Watch) -> Result<Vec<u8>> {
        // Everything before this batch has been exchanged.
        let before = self.document.oplog_vv();
        for change in changes {
            match change {
                Change::Add(key) => self.map.insert(key, true)?,
                Change::Remove(key) => self.map.delete(key)?,
            }
        }
        self.document.commit();
        watch.changed();
        Ok(self.document.export(ExportMode::updates(&before))?)
    }

    fn hear(&mut self, messages: &[Vec<u8>]) -> Result<()> {
        self.document.import_batch(messages)?;
        Ok(())
    }

    fn members(&self) -> BTreeSet<Arc<str>> {
        self.map.keys().map(|key| Arc::from(key.as_str())).collect()
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        Ok(self.document.export(ExportMode::Snapshot)?)
    }

    fn load(id: u32, state: &[u8]) -> Result<Self> {
        Self::of(id, LoroDoc::from_snapshot(state)?)
    }

    fn merge_state(&mut self, state: &[u8]) -> Result<()> {
        self.document.import(state)?;
        Ok(())
    }

    fn merge(&mut self, _other: Self) -> Option<Result<()>> {
        None
    }
}
