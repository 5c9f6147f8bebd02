//! What is asked of a library, and the time that each part of it takes.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::workload::Change;

pub(crate) mod automerge;
pub(crate) mod crdts;
pub(crate) mod loro;
pub(crate) mod ours;
pub(crate) mod yrs;

/// One library's set at one replica. A library gives what it is asked for in the way that suits it best.
pub(crate) trait Replica: Sized {
    fn new(id: u32) -> Self;

    /// Makes the changes and encodes what the others must hear of them. Calls [`Watch::changed`] in between.
    fn act(&mut self, changes: &[Change], watch: &mut Watch) -> Result<Vec<u8>>;

    /// Takes in the others' messages.
    fn hear(&mut self, messages: &[Vec<u8>]) -> Result<()>;

    fn members(&self) -> BTreeSet<Arc<str>>;

    /// The whole state.
    fn state(&mut self) -> Result<Vec<u8>>;

    /// A replica from the bytes of a whole state.
    fn load(id: u32, state: &[u8]) -> Result<Self>;

    /// Takes in the bytes of another replica's whole state.
    fn merge_state(&mut self, state: &[u8]) -> Result<()>;

    /// Takes in another replica that is in memory. `None`: it cannot be done without bytes.
    fn merge(&mut self, other: Self) -> Option<Result<()>>;
}

/// Times the two parts of [`Replica::act`].
#[derive(Debug)]
pub(crate) struct Watch {
    started: Instant,
    changed: Instant,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        Self { started: now, changed: now }
    }

    /// The changes are made; what follows is encoding.
    pub(crate) fn changed(&mut self) {
        self.changed = Instant::now();
    }

    /// How long changing and encoding took.
    pub(crate) fn stop(self) -> (Duration, Duration) {
        (self.changed - self.started, self.changed.elapsed())
    }
}
