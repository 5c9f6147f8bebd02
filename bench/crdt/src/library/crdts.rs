//! `crdts`: its `Orswot` is an OR-set too. It can be fed with operations or with whole states, and brings no encoding of its own; `postcard`
//! writes what serde gives it in about as few bytes as can be.

use std::{collections::BTreeSet, mem, sync::Arc};

use anyhow::Result;
use crdts::{CmRDT as _, CvRDT as _, Orswot, orswot::Op};

use super::{Replica, Watch};
use crate::workload::Change;

type Set = Orswot<Arc<str>, u32>;

/// Operations are sent.
pub(crate) struct Operations {
    id: u32,
    set: Set,
    log: Vec<Op<Arc<str>, u32>>,
}

/// Makes a change, and returns the operation.
fn change(set: &mut Set, id: u32, change: &Change) -> Op<Arc<str>, u32> {
    let op = match change {
        Change::Add(key) => set.add(key.clone(), set.read_ctx().derive_add_ctx(id)),
        Change::Remove(key) => set.rm(key.clone(), set.contains(key).derive_rm_ctx()),
    };
    set.apply(op.clone());
    op
}

fn members(set: &Set) -> BTreeSet<Arc<str>> {
    set.iter().map(|member| member.val.clone()).collect()
}

impl Replica for Operations {
    fn new(id: u32) -> Self {
        Self { id, set: Set::new(), log: Vec::new() }
    }

    fn act(&mut self, changes: &[Change], watch: &mut Watch) -> Result<Vec<u8>> {
        for one in changes {
            self.log.push(change(&mut self.set, self.id, one));
        }
        watch.changed();
        Ok(postcard::to_stdvec(&mem::take(&mut self.log))?)
    }

    fn hear(&mut self, messages: &[Vec<u8>]) -> Result<()> {
        for message in messages {
            let log: Vec<Op<Arc<str>, u32>> = postcard::from_bytes(message)?;
            log.into_iter().for_each(|op| self.set.apply(op));
        }
        Ok(())
    }

    fn members(&self) -> BTreeSet<Arc<str>> {
        members(&self.set)
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        Ok(postcard::to_stdvec(&self.set)?)
    }

    fn load(id: u32, state: &[u8]) -> Result<Self> {
        Ok(Self { id, set: postcard::from_bytes(state)?, log: Vec::new() })
    }

    fn merge_state(&mut self, state: &[u8]) -> Result<()> {
        self.set.merge(postcard::from_bytes(state)?);
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Option<Result<()>> {
        self.set.merge(other.set);
        Some(Ok(()))
    }
}

/// Whole states are sent.
pub(crate) struct States(Operations);

impl Replica for States {
    fn new(id: u32) -> Self {
        Self(Operations::new(id))
    }

    fn act(&mut self, changes: &[Change], watch: &mut Watch) -> Result<Vec<u8>> {
        for one in changes {
            change(&mut self.0.set, self.0.id, one);
        }
        watch.changed();
        self.0.state()
    }

    fn hear(&mut self, messages: &[Vec<u8>]) -> Result<()> {
        messages.iter().try_for_each(|message| self.0.merge_state(message))
    }

    fn members(&self) -> BTreeSet<Arc<str>> {
        self.0.members()
    }

    fn state(&mut self) -> Result<Vec<u8>> {
        self.0.state()
    }

    fn load(id: u32, state: &[u8]) -> Result<Self> {
        Operations::load(id, state).map(Self)
    }

    fn merge_state(&mut self, state: &[u8]) -> Result<()> {
        self.0.merge_state(state)
    }

    fn merge(&mut self, other: Self) -> Option<Result<()>> {
        self.0.merge(other.0)
    }
}
