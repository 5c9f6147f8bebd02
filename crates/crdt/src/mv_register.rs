//! The multi-value register: a write replaces the values it has seen; values written concurrently stay side by side. Sources: Shapiro et
//! al., "A comprehensive study of convergent and commutative replicated data types", 2011, 3.2.2; as delta states: Almeida, Shoker,
//! Baquero, 2018.

use crate::{Context, ReplicaId, dot_fun::DotFun};

#[cfg(test)]
mod tests;

/// The values that no write has replaced yet. A state or a delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MvRegister<T> {
    values: DotFun<T>,
    context: Context,
}

impl<T> Default for MvRegister<T> {
    fn default() -> Self {
        Self { values: DotFun::default(), context: Context::new() }
    }
}

impl<T: Ord + Clone> MvRegister<T> {
    /// A register that was never set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes `value` in the name of `replica`, in place of all values seen here. Returns the delta.
    pub fn set(&mut self, replica: ReplicaId, value: T) -> Self {
        let dot = self.context.next_dot(replica);
        let replaced = self.values.dots().chain([dot]).collect();
        let delta = Self { values: DotFun::one(dot, value), context: replaced };
        self.merge(&delta);
        delta
    }

    /// The values, sorted, each once: none before the first write, several after concurrent ones.
    #[must_use]
    pub fn values(&self) -> Vec<&T> {
        self.values.sorted()
    }

    /// The writes seen.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Joins a state or a delta into this one.
    pub fn merge(&mut self, other: &Self) {
        self.values.join(&self.context, &other.values, &other.context);
        self.context.merge(&other.context);
    }

    /// What a replica that has seen `peer` lacks: values, and the news that others were replaced.
    #[must_use]
    pub fn delta_since(&self, peer: &Context) -> Self {
        let known: Context = self.values.dots().filter(|dot| peer.contains(*dot)).collect();
        Self { values: self.values.since(peer), context: known.missing(&self.context) }
    }
}

/// For the codec: the register as it is written.
impl<T> MvRegister<T> {
    pub(crate) fn stored(&self) -> &DotFun<T> {
        &self.values
    }

    /// A register of values whose dots are in the context.
    pub(crate) fn from_stored(values: DotFun<T>, context: Context) -> Self {
        Self { values, context }
    }
}
