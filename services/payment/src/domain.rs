//! The payment of an order as a pure state machine (PAY-1). It says which question to ask the provider next, and follows its answers.
//!
//! ```text
//!                    ┌──────> requires_action ──┐                      ┌─ parts given back: stays captured
//! nothing ──> pending ┼──────────────────────────┴> authorized ──> captured ── all given back ──> refunded
//!    │                ├──> declined                     │              └─ the bank takes it ───> charged_back
//!    └────────────────┴──> voided or expired <──────────┘  (also from requires_action)
//! ```
//! A void that comes first leaves a tombstone: the authorize that was on its way is refused. A void that meets an open question first
//! has it answered, under the key it was asked with, so that nothing can come to be held behind its back.
//!
//! A refund has a key of its own. It is kept with its amount before the provider is asked, so that a repeat asks for the same and others
//! leave room for it. Whoever brings news brings the charge with all its refunds: they are taken in one by one, each once.
//!
//! A capture or a void that is wanted is kept as a [`Wish`] before the provider is asked. So the row alone says what is open (an [`Intent`]),
//! and anybody can go on with it: a caller with the same command, or a workflow with [`Command::Resume`], which never wants anything new.

mod intent;
mod learn;
#[cfg(test)]
mod tests;

use money::Money;

pub use intent::{Intent, Wish};
pub use learn::{Change, Charge, ChargeRefund, Chargeback, Contradiction, learn};

/// Most refunds of a payment; the provider takes no more either.
const MAX_REFUNDS: usize = 100;

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
    /// The amount was given back, all of it. Final.
    Refunded,
    /// The bank said no. Final.
    Declined,
    /// It was held for too long, and is not held any more. Final.
    Expired,
    /// The bank took back what had not been given back. Final.
    ChargedBack,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::RequiresAction,
        Self::Authorized,
        Self::Captured,
        Self::Voided,
        Self::Refunded,
        Self::Declined,
        Self::Expired,
        Self::ChargedBack,
    ];

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
            Self::Expired => "expired",
            Self::ChargedBack => "charged_back",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The next state on the way to `to`; nothing when this one is there or past it. The way ends with the capture: refunds and chargebacks
    /// carry amounts and are taken in by themselves.
    fn toward(self, to: Self) -> Option<Self> {
        match (self, to) {
            (Self::Pending, Self::RequiresAction) => Some(to),
            (Self::Pending | Self::RequiresAction, Self::Declined | Self::Voided | Self::Expired) => Some(to),
            (Self::Pending | Self::RequiresAction, Self::Authorized | Self::Captured) => Some(Self::Authorized),
            (Self::Authorized, Self::Voided | Self::Expired | Self::Captured) => Some(to),
            _ => None,
        }
    }

    fn may_be_voided(self) -> bool {
        matches!(self, Self::Pending | Self::RequiresAction | Self::Authorized)
    }

    fn is_final(self) -> bool {
        matches!(self, Self::Voided | Self::Refunded | Self::Declined | Self::Expired | Self::ChargedBack)
    }

    /// True when the amount was taken, whatever came after.
    #[must_use]
    pub fn was_captured(self) -> bool {
        matches!(self, Self::Captured | Self::Refunded | Self::ChargedBack)
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

/// A part that is given back, or is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// What names it, at the provider too.
    pub key: String,
    /// In the payment's currency, more than 0.
    pub amount_minor: i64,
    /// The provider's id of it; absent before it answered.
    pub id: Option<String>,
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
    /// Oldest first.
    pub refunds: Vec<Refund>,
    /// What was last asked for once it was held, or was to be; it stays when it is done.
    pub wanted: Option<Wish>,
    /// Grows by one with each change that others hear of.
    pub version: u64,
}

impl Payment {
    /// A payment that is about to be asked for.
    #[must_use]
    pub fn open(terms: Terms) -> Self {
        Self { state: State::Pending, terms: Some(terms), ..Self::tombstone() }
    }

    /// A payment that will never be asked for.
    #[must_use]
    pub fn tombstone() -> Self {
        Self { state: State::Voided, terms: None, charge_id: None, decline_code: None, refunds: Vec::new(), wanted: None, version: 1 }
    }

    /// What was given back.
    #[must_use]
    pub fn refunded_minor(&self) -> i64 {
        self.refunds.iter().filter(|refund| refund.id.is_some()).map(|refund| refund.amount_minor).sum()
    }

    /// What was given back, or is to be.
    fn promised_minor(&self) -> i64 {
        self.refunds.iter().map(|refund| refund.amount_minor).sum()
    }

    fn amount_minor(&self) -> i64 {
        self.terms.as_ref().map_or(0, |terms| terms.amount.amount_minor)
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
    /// Give it back, or a part of it.
    Refund {
        /// Names the refund.
        key: String,
        /// More than 0; all that is left when absent.
        amount: Option<Money>,
    },
    /// Go on with what was asked for before, if it is still open.
    Resume(Intent),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it is so.
    Done,
    /// Keep this as the order's payment, then look again.
    Keep(Payment),
    /// Keep this refund with the order's payment, then look again.
    KeepRefund(Refund),
    /// Keep that this is wanted, then look again.
    Want(Wish),
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
    /// Give a part back.
    Refund {
        /// The provider's id of the charge.
        charge_id: String,
        /// Names the refund.
        key: String,
        /// More than 0.
        amount_minor: i64,
    },
}

/// Why a command cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The order has no payment.
    #[error("the order has no payment")]
    Missing,
    /// The order's payment is about something else.
    #[error("the order has a payment with another amount, currency or card")]
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
    /// It was held for too long.
    #[error("the authorization has expired")]
    Expired,
    /// The bank took it back.
    #[error("the bank has taken the payment back")]
    ChargedBack,
    /// The key names a refund of another amount.
    #[error("this idempotency key names a refund of another amount")]
    RefundDiffers,
    /// More than was taken would be given back.
    #[error("{left} is left to be refunded, in minor units")]
    RefundTooLarge {
        /// In minor units.
        left: i64,
    },
    /// There is a limit.
    #[error("the payment has {MAX_REFUNDS} refunds, and takes no more")]
    TooManyRefunds,
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
            Command::Capture | Command::Refund { .. } | Command::Resume(_) => Err(Refusal::Missing),
        };
    };
    let open = || payment.terms.clone().map_or(Next::Done, |terms| Next::Ask(Question::Charge(terms)));
    let ask = |question: fn(String) -> Question| payment.charge_id.clone().map_or_else(open, |id| Next::Ask(question(id)));
    match (command, payment.state) {
        (Command::Resume(intent), _) => intent.command(payment).map_or(Ok(Next::Done), |command| next(Some(payment), &command)),
        (Command::Authorize(_), State::Voided) => Err(Refusal::Voided),
        // What is being voided is as good as voided.
        (Command::Authorize(_) | Command::Capture, _) if payment.is_open(&Intent::Void) => Err(Refusal::Voided),
        (Command::Authorize(terms), _) if payment.terms.as_ref() != Some(terms) => Err(Refusal::Differs),
        (Command::Authorize(_), State::Pending) => Ok(open()),
        (Command::Authorize(_), _)
        | (Command::Capture, State::Captured)
        | (Command::Void, State::Voided | State::Declined | State::Refunded | State::Expired | State::ChargedBack) => Ok(Next::Done),
        (Command::Capture, State::Authorized) if payment.wanted != Some(Wish::Capture) => Ok(Next::Want(Wish::Capture)),
        (Command::Capture, State::Authorized) => Ok(ask(Question::Capture)),
        (Command::Capture, State::Pending | State::RequiresAction) => Err(Refusal::NotAuthorized),
        (Command::Capture, State::Voided) => Err(Refusal::Voided),
        (Command::Capture, State::Refunded) => Err(Refusal::Refunded),
        (Command::Capture, State::Declined) => Err(Refusal::Declined),
        (Command::Capture, State::Expired) => Err(Refusal::Expired),
        (Command::Capture, State::ChargedBack) => Err(Refusal::ChargedBack),
        (Command::Void, state) if state.may_be_voided() && payment.wanted != Some(Wish::Void) => Ok(Next::Want(Wish::Void)),
        (Command::Void, State::Pending) => Ok(open()),
        (Command::Void, State::RequiresAction | State::Authorized) => Ok(ask(Question::Void)),
        (Command::Void, State::Captured) => Err(Refusal::Captured),
        (Command::Refund { key, amount }, _) => next_refund(payment, key, *amount),
    }
}

fn next_refund(payment: &Payment, key: &str, amount: Option<Money>) -> Result<Next, Refusal> {
    let (true, Some(terms), Some(charge_id)) = (payment.state.was_captured(), &payment.terms, &payment.charge_id) else {
        return Err(Refusal::NotCaptured);
    };
    if amount.is_some_and(|amount| amount.currency != terms.amount.currency) {
        return Err(Refusal::Differs);
    }
    let asked = amount.map(|amount| amount.amount_minor);
    if let Some(refund) = payment.refunds.iter().find(|refund| refund.key == key) {
        return match refund.id {
            _ if asked.is_some_and(|asked| asked != refund.amount_minor) => Err(Refusal::RefundDiffers),
            Some(_) => Ok(Next::Done),
            None => {
                let (charge_id, key) = (charge_id.clone(), key.to_owned());
                Ok(Next::Ask(Question::Refund { charge_id, key, amount_minor: refund.amount_minor }))
            }
        };
    }
    let left = payment.amount_minor() - payment.promised_minor();
    let amount_minor = asked.unwrap_or(left);
    match payment.state {
        State::ChargedBack => Err(Refusal::ChargedBack),
        // Nothing is left, and that is what is wanted.
        State::Refunded if asked.is_none() => Ok(Next::Done),
        _ if amount_minor > left || amount_minor == 0 => Err(Refusal::RefundTooLarge { left }),
        _ if payment.refunds.len() >= MAX_REFUNDS => Err(Refusal::TooManyRefunds),
        _ => Ok(Next::KeepRefund(Refund { key: key.to_owned(), amount_minor, id: None })),
    }
}
