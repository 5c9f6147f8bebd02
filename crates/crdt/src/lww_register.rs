//! The last-writer-wins register. Source: Shapiro et al., "A comprehensive study of convergent and commutative replicated data types",
//! 2011, 3.2.1.

use crate::ReplicaId;

#[cfg(test)]
mod tests;

/// A value with its stamp. Compared by timestamp, then replica, then the value itself, so that even two writes under one stamp have a
/// winner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamped<T> {
    pub(crate) timestamp: u64,
    pub(crate) replica: ReplicaId,
    pub(crate) value: T,
}

/// One value; of two writes the one with the higher stamp stays. A state or a delta.
///
/// The timestamp is the caller's, in any unit that all replicas share. A write that is behind what is there loses: a caller whose clock may
/// lag passes at least [`Self::timestamp`] plus one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LwwRegister<T> {
    latest: Option<Stamped<T>>,
}

impl<T> Default for LwwRegister<T> {
    fn default() -> Self {
        Self { latest: None }
    }
}

impl<T: Ord + Clone> LwwRegister<T> {
    /// A register that was never set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes `value` at `timestamp` in the name of `replica`. Returns the delta.
    pub fn set(&mut self, replica: ReplicaId, timestamp: u64, value: T) -> Self {
        let delta = Self { latest: Some(Stamped { timestamp, replica, value }) };
        self.merge(&delta);
        delta
    }

    /// The value, unless it was never set.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.latest.as_ref().map(|stamped| &stamped.value)
    }

    /// When the value was written.
    #[must_use]
    pub fn timestamp(&self) -> Option<u64> {
        self.latest.as_ref().map(|stamped| stamped.timestamp)
    }

    /// Joins a state or a delta into this one.
    pub fn merge(&mut self, other: &Self) {
        if self.latest < other.latest {
            self.latest.clone_from(&other.latest);
        }
    }
}

/// For the codec: the register as it is written.
impl<T> LwwRegister<T> {
    pub(crate) fn latest(&self) -> Option<&Stamped<T>> {
        self.latest.as_ref()
    }

    pub(crate) fn from_latest(latest: Option<Stamped<T>>) -> Self {
        Self { latest }
    }
}
