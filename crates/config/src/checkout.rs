//! How a market's orders are brought to their end: a setting that the order, inventory and payment services share.

use std::{fmt, str::FromStr};

/// Who brings an accepted order to its end. The saga is what the system is built on; the other two are there to be compared with it
/// (docs/checkout.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Checkout {
    /// A saga on Temporal.
    #[default]
    Saga,
    /// A coordinator in the order service, by two-phase commit.
    TwoPhase,
    /// Nobody: each service hears the others' events.
    Choreography,
}

impl Checkout {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Saga, Self::TwoPhase, Self::Choreography];

    /// Its name in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Saga => "saga",
            Self::TwoPhase => "two-phase",
            Self::Choreography => "choreography",
        }
    }
}

/// Not a way to check out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be saga, two-phase or choreography")]
pub struct UnknownCheckout;

impl FromStr for Checkout {
    type Err = UnknownCheckout;

    fn from_str(text: &str) -> Result<Self, UnknownCheckout> {
        Self::ALL.into_iter().find(|way| way.as_str() == text).ok_or(UnknownCheckout)
    }
}

impl fmt::Display for Checkout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for way in Checkout::ALL {
            assert_eq!(way.to_string().parse(), Ok(way));
        }
        assert_eq!("2pc".parse::<Checkout>(), Err(UnknownCheckout));
    }
}
