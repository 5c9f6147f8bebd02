//! Order ids.

use uuid::Uuid;

/// Names an order, its payment, its reservation and its workflow: a UUID, version 7 when made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId(Uuid);

impl OrderId {
    /// The id with these bits.
    #[must_use]
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The bits.
    #[must_use]
    pub fn as_uuid(self) -> Uuid {
        self.0
    }

    /// The idempotency key of one step of the order's saga, `<order>/<step>`.
    #[must_use]
    pub fn step_key(self, step: &str) -> String {
        format!("{self}/{step}")
    }
}

impl std::str::FromStr for OrderId {
    type Err = crate::InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self).map_err(|_| crate::InvalidId::OrderId)
    }
}

impl std::fmt::Display for OrderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}
