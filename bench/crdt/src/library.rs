//! What is asked of a library, and the time that each part of it takes.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};

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
    started: Duration,
    changed: Duration,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let now = cpu_time();
        Self { started: now, changed: now }
    }

    /// The changes are made; what follows is encoding.
    pub(crate) fn changed(&mut self) {
        self.changed = cpu_time();
    }

    /// How long changing and encoding took.
    pub(crate) fn stop(self) -> (Duration, Duration) {
        (self.changed - self.started, cpu_time() - self.changed)
    }
}

/// CPU time of this thread, which does all there is to do: unlike the time on the wall, it does not pass while another process has the core.
pub(crate) fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("CPU time is not negative")
}
