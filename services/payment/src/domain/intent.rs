//! What was asked for and may not be settled. All of it is in the payment, so it can be gone on with by anybody, at any time.

use super::{Command, Payment, State};

/// What is wanted of an amount that is held, or is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Take it.
    Capture,
    /// Hold it no longer. Once this is wanted the payment is neither authorized nor captured, unless the provider has done it already.
    Void,
}

impl Wish {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Capture, Self::Void];

    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Void => "void",
        }
    }

    /// The wish of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wish| wish.as_str() == name)
    }
}

/// Something that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Intent {
    /// That the amount be held.
    Authorization,
    /// That it be taken.
    Capture,
    /// That it be held no longer.
    Void,
    /// That a part be given back, by the refund's key.
    Refund(String),
}

impl Intent {
    /// The command that goes on with it; nothing when it is settled, or when a void has overtaken it. It wants nothing that the payment
    /// does not want already.
    pub(super) fn command(&self, payment: &Payment) -> Option<Command> {
        if !payment.is_open(self) {
            return None;
        }
        match self {
            Self::Authorization => payment.terms.clone().map(Command::Authorize),
            Self::Capture => Some(Command::Capture),
            Self::Void => Some(Command::Void),
            Self::Refund(key) => Some(Command::Refund { key: key.clone(), amount: None }),
        }
    }
}

impl Payment {
    /// Whether `intent` was asked for and is not settled.
    #[must_use]
    pub fn is_open(&self, intent: &Intent) -> bool {
        match intent {
            Intent::Authorization => matches!(self.state, State::Pending | State::RequiresAction) && self.wanted != Some(Wish::Void),
            Intent::Capture => self.state == State::Authorized && self.wanted == Some(Wish::Capture),
            Intent::Void => self.state.may_be_voided() && self.wanted == Some(Wish::Void),
            Intent::Refund(key) => self.state.was_captured() && self.refunds.iter().any(|refund| refund.key == *key && refund.id.is_none()),
        }
    }
}
