//! `yrs`: a map from key to `true`; what one transaction changed is one update. It collects removed values as garbage, and keeps their ids.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::Result;
use yrs::{Doc, Map as _, MapRef, ReadTxn as _, StateVector, Transact as _, Update, updates::decoder::Decode as _};

use super::{Replica, Watch};
use crate::workload::Change;

/// Updates are of the second format if `V2`, which is smaller and slower, otherwise of the first.
pub(crate) struct Document<const V2: bool> {
    document: Doc,
    map: MapRef,
}

fn update<const V2: bool>(bytes: &[u8]) -> Result<Update> {
    Ok(if V2 { Update::decode_v2(bytes)? } else { Update::decode_v1(bytes)? })
}

impl<const V2: bool> Replica for Document<V2> {
    fn new(id: u32) -> Self {
        let document = Doc::with_client_id(u64::from(id));
        let map = document.get_or_insert_map("set");
        Self { document, map }
    }

    fn act(&mut self, changes: &[Change], watch: &mut Watch) -> Result<Vec<u8>> {
        let mut transaction = self.document.transact_mut();
        for change in changes {
            match change {
                Change::Add(key) => drop(self.map.insert(&mut transaction, key.clone(), true)),
                Change::Remove(key) => drop(self.map.remove(&mut transaction, key)),
            }
        }
        transaction.commit();
        watch.changed();
        Ok(if V2 { transaction.encode_update_v2() } else { transaction.encode_update_v1() })
    }

    fn hear(&mut self, messages: &[Vec<u8>]) -> Result<()> {
        let mut transaction = self.document.transact_mut();
        for message in messages {
            transaction.apply_update(update::<V2>(message)?)?;
        }
        Ok(())
    }

    fn members(&self) -> BTreeSet<Arc<str>> {
        self.map.keys(&self.document.transact()).map(Arc::from).collect()
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        let transaction = self.document.transact();
        let all = StateVector::default();
        Ok(if V2 { transaction.encode_state_as_update_v2(&all) } else { transaction.encode_state_as_update_v1(&all) })
    }

    fn load(id: u32, state: &[u8]) -> Result<Self> {
        let mut loaded = Self::new(id);
        loaded.merge_state(state)?;
        Ok(loaded)
    }

    fn merge_state(&mut self, state: &[u8]) -> Result<()> {
        self.document.transact_mut().apply_update(update::<V2>(state)?)?;
        Ok(())
    }

    fn merge(&mut self, _other: Self) -> Option<Result<()>> {
        None
    }
}
