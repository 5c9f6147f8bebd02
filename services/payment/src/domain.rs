//! The payment of an order as a pure state machine (PAY-1). It says which question to ask the provider next, and follows its answers.
//!
//! ```text
//!                    ┌──────> requires_action ──┐
//! nothing ──> pending ┼──────────────────────────┴> authorized ──> captured ──> refunded
//!    │                ├──> declined                     │
//!    └────────────────┴──> voided <─────────────────────┘  (also from requires_action)
//! ```
//! A void that comes first leaves a tombstone: the authorize that was on its way is refused. A void that meets an open question first
//! has it answered, under the key it was asked with, so that nothing can come to be held behind its back.

use money::Money;

#[cfg(test)]
mod tests;

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Asked of the provider, no answer yet.
    Pending,
    /// The bank asks the shopper first.
    RequiresAction,
    /// The amount is held.
    Authorized,
    /// The amount is taken.
    Captured,
    /// Nothing is held. Final.
    Voided,
    /// The amount was given back. Final.
    Refunded,
    /// The bank said no. Final.
    Declined,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Pending, Self::RequiresAction, Self::Authorized, Self::Captured, Self::Voided, Self::Refunded, Self::Declined];

    /// The name in the database, at the provider and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::RequiresAction => "requires_action",
            Self::Authorized => "authorized",
            Self::Captured => "captured",
            Self::Voided => "voided",
            Self::Refunded => "refunded",
            Self::Declined => "declined",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The next state on the way to `to`; nothing when this one is there or past it.
    fn toward(self, to: Self) -> Option<Self> {
        match (self, to) {
            (Self::Pending, Self::RequiresAction) => Some(to),
            (Self::Pending | Self::RequiresAction, Self::Declined | Self::Voided) => Some(to),
            (Self::Pending | Self::RequiresAction, Self::Authorized | Self::Captured | Self::Refunded) => Some(Self::Authorized),
            (Self::Authorized, Self::Voided) => Some(to),
            (Self::Authorized, Self::Captured | Self::Refunded) => Some(Self::Captured),
            (Self::Captured, Self::Refunded) => Some(to),
            _ => None,
        }
    }

    fn is_final(self) -> bool {
        matches!(self, Self::Voided | Self::Refunded | Self::Declined)
    }
}

/// What is to be paid, and with which card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// More than 0.
    pub amount: Money,
    /// Token of the card.
    pub token: String,
}

/// The payment of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Where it stands.
    pub state: State,
    /// Absent for a tombstone.
    pub terms: Option<Terms>,
    /// The provider's id of it; absent before it answered.
    pub charge_id: Option<String>,
    /// Why it was declined.
    pub decline_code: Option<String>,
    /// Grows by one with each change.
    pub version: u64,
}

impl Payment {
    /// A payment that is about to be asked for.
    #[must_use]
    pub fn open(terms: Terms) -> Self {
        Self { state: State::Pending, terms: Some(terms), charge_id: None, decline_code: None, version: 1 }
    }

    /// A payment that will never be asked for.
    #[must_use]
    pub fn tombstone() -> Self {
        Self { state: State::Voided, terms: None, charge_id: None, decline_code: None, version: 1 }
    }
}

/// What is wanted of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Hold the amount.
    Authorize(Terms),
    /// Take it.
    Capture,
    /// Hold it no longer.
    Void,
    /// Give it back, in whole.
    Refund,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it is so.
    Done,
    /// Keep this as the order's payment, then look again.
    Keep(Payment),
    /// Ask the provider, learn from its answer, then look again.
    Ask(Question),
}

/// What is asked of the provider. Each may be asked again: the answer is that of the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Hold the amount.
    Charge(Terms),
    /// Take what the charge holds.
    Capture(String),
    /// Hold it no longer.
    Void(String),
    /// Give it back.
    Refund(String),
}

/// Why a command cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The order has no payment.
    #[error("the order has no payment")]
    Missing,
    /// The order's payment is about something else.
    #[error("the order has a payment with another amount or card")]
    Differs,
    /// Capturing or refunding must wait for the authorization.
    #[error("the payment is not authorized")]
    NotAuthorized,
    /// There is nothing to give back.
    #[error("the payment is not captured")]
    NotCaptured,
    /// It is too late to void.
    #[error("the payment is captured; refund it instead")]
    Captured,
    /// It was undone.
    #[error("the payment was voided")]
    Voided,
    /// It was given back.
    #[error("the payment was refunded")]
    Refunded,
    /// The bank said no.
    #[error("the payment was declined")]
    Declined,
}

/// What follows for a payment from `command`.
///
/// # Errors
/// A [`Refusal`] when the payment cannot go there.
pub fn next(payment: Option<&Payment>, command: &Command) -> Result<Next, Refusal> {
    let Some(payment) = payment else {
        return match command {
            Command::Authorize(terms) => Ok(Next::Keep(Payment::open(terms.clone()))),
            Command::Void => Ok(Next::Keep(Payment::tombstone())),
            Command::Capture | Command::Refund => Err(Refusal::Missing),
        };
    };
    let open = || payment.terms.clone().map_or(Next::Done, |terms| Next::Ask(Question::Charge(terms)));
    let ask = |question: fn(String) -> Question| payment.charge_id.clone().map_or_else(open, |id| Next::Ask(question(id)));
    match (command, payment.state) {
        (Command::Authorize(_), State::Voided) => Err(Refusal::Voided),
        (Command::Authorize(terms), _) if payment.terms.as_ref() != Some(terms) => Err(Refusal::Differs),
        (Command::Authorize(_) | Command::Void, State::Pending) => Ok(open()),
        (Command::Authorize(_), _)
        | (Command::Capture, State::Captured)
        | (Command::Void, State::Voided | State::Declined | State::Refunded)
        | (Command::Refund, State::Refunded) => Ok(Next::Done),
        (Command::Capture, State::Authorized) => Ok(ask(Question::Capture)),
        (Command::Capture, State::Pending | State::RequiresAction) => Err(Refusal::NotAuthorized),
        (Command::Capture, State::Voided) => Err(Refusal::Voided),
        (Command::Capture, State::Refunded) => Err(Refusal::Refunded),
        (Command::Capture, State::Declined) => Err(Refusal::Declined),
        (Command::Void, State::RequiresAction | State::Authorized) => Ok(ask(Question::Void)),
        (Command::Void, State::Captured) => Err(Refusal::Captured),
        (Command::Refund, State::Captured) => Ok(ask(Question::Refund)),
        (Command::Refund, _) => Err(Refusal::NotCaptured),
    }
}

/// How the provider says that a payment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The provider's id of it; absent when it refused to make one.
    pub id: Option<String>,
    /// Never `Pending`.
    pub state: State,
    /// What it is about.
    pub amount: Money,
    /// Why it was declined.
    pub decline_code: Option<String>,
}

/// The provider's charge and the payment cannot both be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the provider's charge contradicts the payment")]
pub struct Contradiction;

/// The payments that `payment` becomes, one after the other, to catch up with what the provider says. None for old news.
///
/// # Errors
/// [`Contradiction`].
pub fn learn(payment: &Payment, charge: &Charge) -> Result<Vec<Payment>, Contradiction> {
    let is_known = payment.charge_id.is_none() || payment.charge_id == charge.id;
    if !is_known || payment.terms.as_ref().is_none_or(|terms| terms.amount != charge.amount) {
        return Err(Contradiction);
    }
    let mut changes = Vec::new();
    let mut now = payment.clone();
    while let Some(state) = now.state.toward(charge.state) {
        let decline_code = charge.decline_code.clone().filter(|_| state == State::Declined);
        now = Payment { state, charge_id: charge.id.clone(), decline_code, version: now.version + 1, ..now };
        changes.push(now.clone());
    }
    if charge.state.is_final() && now.state != charge.state { Err(Contradiction) } else { Ok(changes) }
}
