//! A charge, and what may happen to it. Pure.
//!
//! ```text
//! declined                          ┌─ void ────> voided
//! requires_action ── approve ──> authorized ── capture ──> captured ── refund of all ──> refunded
//!        ├─ void ──> voided          └─ time ────> expired    │ └─ refund of a part: stays captured
//!        └─ time ──> expired                                  └─ chargeback ──> charged_back
//! ```
//! A command that asks for the state a charge is in changes nothing and is no error: that makes repeats harmless. Refunds are told apart by
//! their keys, and never give back more than was taken.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::behavior::Mood;

#[cfg(test)]
mod tests;

/// Where a charge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The shopper must approve it first (3-D Secure).
    RequiresAction,
    /// The amount is held.
    Authorized,
    /// The amount is taken.
    Captured,
    /// The amount is no longer held, or never was.
    Voided,
    /// The amount was given back, all of it.
    Refunded,
    /// The bank said no.
    Declined,
    /// It was held for too long and is no longer held.
    Expired,
    /// The bank took back what had not been given back.
    ChargedBack,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::RequiresAction,
        Self::Authorized,
        Self::Captured,
        Self::Voided,
        Self::Refunded,
        Self::Declined,
        Self::Expired,
        Self::ChargedBack,
    ];

    /// As on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
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
}

/// Why the bank said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeclineCode {
    /// For no reason it tells.
    CardDeclined,
    /// The card is good, the account is not.
    InsufficientFunds,
}

/// The cards that the simulated bank knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Token {
    /// `tok_visa`: authorized.
    #[serde(rename = "tok_visa")]
    Visa,
    /// `tok_mastercard`: authorized.
    #[serde(rename = "tok_mastercard")]
    Mastercard,
    /// `tok_decline`: declined.
    #[serde(rename = "tok_decline")]
    Decline,
    /// `tok_3ds`: the shopper is asked first.
    #[serde(rename = "tok_3ds")]
    StepUp,
}

/// No card has this token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownToken;

impl FromStr for Token {
    type Err = UnknownToken;

    fn from_str(text: &str) -> Result<Self, UnknownToken> {
        match text {
            "tok_visa" => Ok(Self::Visa),
            "tok_mastercard" => Ok(Self::Mastercard),
            "tok_decline" => Ok(Self::Decline),
            "tok_3ds" => Ok(Self::StepUp),
            _ => Err(UnknownToken),
        }
    }
}

impl Token {
    /// What the bank says at first, in this mood.
    #[must_use]
    pub fn authorize(self, mood: Mood) -> (State, Option<DeclineCode>) {
        match (self, mood) {
            (Self::Decline, _) => (State::Declined, Some(DeclineCode::CardDeclined)),
            (_, Mood::Declines) => (State::Declined, Some(DeclineCode::InsufficientFunds)),
            (Self::StepUp, _) | (_, Mood::AsksShopper) => (State::RequiresAction, None),
            (Self::Visa | Self::Mastercard, Mood::Agrees) => (State::Authorized, None),
        }
    }
}

/// A part of a captured amount that was given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// `re_` and a `UUIDv7` without dashes.
    pub id: String,
    /// The key of the request that made it.
    pub idempotency_key: String,
    /// In the charge's currency, more than 0.
    pub amount_minor: i64,
    /// True when the request named no amount: it gave back what was left.
    pub is_rest: bool,
    /// Unix ms.
    pub created: i64,
}

/// What the bank took back for its shopper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chargeback {
    /// `cb_` and a `UUIDv7` without dashes.
    pub id: String,
    /// All that had been captured and not refunded.
    pub amount_minor: i64,
    /// Unix ms.
    pub created: i64,
}

/// A charge, as callers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// `ch_` and a `UUIDv7` without dashes: ids sort by time.
    pub id: String,
    /// The merchant's order; the provider does not look into it.
    pub order_id: String,
    /// Which of the merchant's accounts is credited; the provider lists each account's movements apart.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub account: Option<String>,
    /// Where it stands.
    pub state: State,
    /// In the currency's minor units, more than 0.
    pub amount_minor: i64,
    /// ISO 4217, three capitals.
    pub currency: String,
    /// The key of the request that made it.
    pub idempotency_key: String,
    /// Why it was declined.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub decline_code: Option<DeclineCode>,
    /// When the amount was taken, unix ms.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub captured_at: Option<i64>,
    /// Sum of the refunds.
    #[serde(default)]
    pub refunded_minor: i64,
    /// Oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub refunds: Vec<Refund>,
    /// What the bank took back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub chargeback: Option<Chargeback>,
}

/// What can be asked of a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The shopper approves the step-up.
    Approve,
    /// Take the amount.
    Capture,
    /// Hold it no longer, or do not ask the shopper any more.
    Void,
    /// It was held for too long.
    Expire,
    /// Give it back, or a part of it.
    Refund {
        /// Names the refund, should it come to be.
        id: String,
        /// Tells it from other refunds.
        key: String,
        /// More than 0; all that is left when absent.
        amount_minor: Option<i64>,
    },
    /// The bank takes back what is left.
    ChargeBack {
        /// Names the chargeback, should it come to be.
        id: String,
    },
}

impl Command {
    /// As in the address.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Expire => "expire",
            Self::Refund { .. } => "refund",
            Self::ChargeBack { .. } => "chargeback",
        }
    }
}

/// A change of a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The shopper approved; the amount is held.
    Approved,
    /// The amount was taken.
    Captured {
        /// Unix ms.
        at: i64,
    },
    /// It is no longer held.
    Voided,
    /// It was held for too long.
    Expired,
    /// A part of it was given back, or all.
    Refunded(Refund),
    /// The bank took the rest back.
    ChargedBack(Chargeback),
}

/// Why a command is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The command does not fit the state.
    #[error("cannot {command} charge {id}: it is {}", state.as_str())]
    State {
        /// The charge.
        id: String,
        /// Where it stands.
        state: State,
        /// What was asked.
        command: &'static str,
    },
    /// The refund's key belongs to another request.
    #[error("this idempotency key was used for another request; use a new key for a new request")]
    KeyReused,
    /// It would give back more than was taken.
    #[error("cannot refund {asked} of charge {id}: {left} is left of it")]
    TooMuch {
        /// The charge.
        id: String,
        /// What was asked for, in minor units.
        asked: i64,
        /// What is left, in minor units.
        left: i64,
    },
    /// A charge carries its refunds with it, so there is a limit.
    #[error("charge {id} has {MAX_REFUNDS} refunds, and takes no more")]
    TooMany {
        /// The charge.
        id: String,
    },
}

/// Most refunds of a charge.
pub const MAX_REFUNDS: usize = 100;

/// What `command` does to `charge` at `now` (unix ms); nothing when it is so already.
///
/// # Errors
/// When the command does not fit the charge.
pub fn decide(charge: &Charge, command: &Command, now: i64) -> Result<Option<Event>, Refusal> {
    match (charge.state, command) {
        (State::RequiresAction, Command::Approve) => Ok(Some(Event::Approved)),
        (State::Authorized, Command::Capture) => Ok(Some(Event::Captured { at: now })),
        (State::RequiresAction | State::Authorized, Command::Void) => Ok(Some(Event::Voided)),
        (State::RequiresAction | State::Authorized, Command::Expire) => Ok(Some(Event::Expired)),
        (State::Captured, Command::ChargeBack { id }) => {
            let chargeback = Chargeback { id: id.clone(), amount_minor: charge.left_minor(), created: now };
            Ok(Some(Event::ChargedBack(chargeback)))
        }
        (_, Command::Refund { id, key, amount_minor }) => charge.refund(id, key, *amount_minor, now),
        (State::Authorized, Command::Approve)
        | (State::Captured, Command::Capture)
        | (State::Voided, Command::Void)
        | (State::Expired, Command::Expire)
        | (State::ChargedBack, Command::ChargeBack { .. }) => Ok(None),
        (_, command) => Err(charge.refuses(command.as_str())),
    }
}

impl Charge {
    /// What is taken and not given back, if anything was taken.
    #[must_use]
    pub fn left_minor(&self) -> i64 {
        self.amount_minor - self.refunded_minor
    }

    fn refuses(&self, command: &'static str) -> Refusal {
        Refusal::State { id: self.id.clone(), state: self.state, command }
    }

    fn refund(&self, id: &str, key: &str, asked: Option<i64>, now: i64) -> Result<Option<Event>, Refusal> {
        if let Some(made) = self.refunds.iter().find(|made| made.idempotency_key == key) {
            let first = (!made.is_rest).then_some(made.amount_minor);
            return if first == asked { Ok(None) } else { Err(Refusal::KeyReused) };
        }
        if self.state != State::Captured {
            return Err(self.refuses("refund"));
        }
        let left = self.left_minor();
        let amount_minor = asked.unwrap_or(left);
        if amount_minor > left {
            return Err(Refusal::TooMuch { id: self.id.clone(), asked: amount_minor, left });
        }
        if self.refunds.len() >= MAX_REFUNDS {
            return Err(Refusal::TooMany { id: self.id.clone() });
        }
        let (id, idempotency_key) = (id.to_owned(), key.to_owned());
        Ok(Some(Event::Refunded(Refund { id, idempotency_key, amount_minor, is_rest: asked.is_none(), created: now })))
    }

    /// The charge after `event`.
    #[must_use]
    pub fn after(&self, event: &Event) -> Self {
        let mut charge = self.clone();
        charge.state = match event {
            Event::Approved => State::Authorized,
            Event::Captured { at } => {
                charge.captured_at = Some(*at);
                State::Captured
            }
            Event::Voided => State::Voided,
            Event::Expired => State::Expired,
            Event::Refunded(refund) => {
                charge.refunded_minor += refund.amount_minor;
                charge.refunds.push(refund.clone());
                if charge.left_minor() == 0 { State::Refunded } else { State::Captured }
            }
            Event::ChargedBack(chargeback) => {
                charge.chargeback = Some(chargeback.clone());
                State::ChargedBack
            }
        };
        charge
    }

    /// The type of the webhook that tells the merchant of `event`. What the merchant has as the answer to a request is not told again, but
    /// for refunds, which others than its programs ask for too.
    #[must_use]
    pub fn notice_of(&self, event: &Event) -> Option<&'static str> {
        match (self.state, event) {
            (State::RequiresAction, Event::Approved) => Some("charge.authorized"),
            (State::RequiresAction, Event::Voided) => Some("charge.voided"),
            (_, Event::Expired) => Some("charge.expired"),
            (_, Event::Refunded(_)) => Some("charge.refunded"),
            (_, Event::ChargedBack(_)) => Some("charge.charged_back"),
            _ => None,
        }
    }

    /// How `event` moves the merchant's balance.
    #[must_use]
    pub fn movement_of(&self, event: &Event) -> Option<Movement> {
        let (kind, source_id, amount_minor) = match event {
            Event::Captured { .. } => (Kind::Capture, &self.id, self.amount_minor),
            Event::Refunded(refund) => (Kind::Refund, &refund.id, -refund.amount_minor),
            Event::ChargedBack(chargeback) => (Kind::Chargeback, &chargeback.id, -chargeback.amount_minor),
            Event::Approved | Event::Voided | Event::Expired => return None,
        };
        Some(Movement { kind, source_id: source_id.clone(), amount_minor })
    }
}

/// What moves a merchant's balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A charge was captured.
    Capture,
    /// A refund was made.
    Refund,
    /// The bank took an amount back.
    Chargeback,
}

/// A movement of a merchant's balance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// What moved it.
    pub kind: Kind,
    /// Id of the charge, the refund or the chargeback.
    pub source_id: String,
    /// More than 0 when it is to the merchant's credit.
    pub amount_minor: i64,
}
