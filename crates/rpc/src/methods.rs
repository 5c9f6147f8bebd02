//! The methods of the contract. All of them are unary.

use std::{collections::HashMap, sync::LazyLock};

use proto::IdempotencyLevel;

static METHODS: LazyLock<HashMap<String, IdempotencyLevel>> = LazyLock::new(|| proto::methods().collect());

/// The path of each, and whether it may be called again.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, IdempotencyLevel)> {
    METHODS.iter().map(|(path, level)| (path.as_str(), *level))
}

/// Whether the contract has it.
pub(crate) fn is_known(path: &str) -> bool {
    METHODS.contains_key(path)
}
