//! A charge, and what may happen to it. Pure.
//!
//! ```text
//! declined                          ┌─ void ────> voided
//! requires_action ── approve ──> authorized ── capture ──> captured ── refund ──> refunded
//!        └─ void ──> voided
//! ```
//! A command that asks for the state a charge is in changes nothing and is no error: that makes repeats harmless.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
    /// The amount was given back.
    Refunded,
    /// The bank said no.
    Declined,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::RequiresAction, Self::Authorized, Self::Captured, Self::Voided, Self::Refunded, Self::Declined];

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
        }
    }
}

/// Why the bank said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeclineCode {
    /// For no reason it tells.
    CardDeclined,
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
    /// What the bank says at first.
    #[must_use]
    pub fn authorize(self) -> (State, Option<DeclineCode>) {
        match self {
            Self::Visa | Self::Mastercard => (State::Authorized, None),
            Self::Decline => (State::Declined, Some(DeclineCode::CardDeclined)),
            Self::StepUp => (State::RequiresAction, None),
        }
    }
}

/// A charge, as callers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// `ch_` and a `UUIDv7` without dashes: ids sort by time.
    pub id: String,
    /// The merchant's order; the provider does not look into it.
    pub order_id: String,
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
}

/// What can be asked of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// The shopper approves the step-up.
    Approve,
    /// Take the amount.
    Capture,
    /// Hold it no longer, or do not ask the shopper any more.
    Void,
    /// Give the amount back, in whole.
    Refund,
}

impl Command {
    /// As in the address.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
        }
    }
}

/// A change of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The shopper approved; the amount is held.
    Approved,
    /// The amount was taken.
    Captured,
    /// It is no longer held.
    Voided,
    /// It was given back.
    Refunded,
}

/// The command does not fit the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {} charge {id}: it is {}", command.as_str(), state.as_str())]
pub struct Refusal {
    /// The charge.
    pub id: String,
    /// Where it stands.
    pub state: State,
    /// What was asked.
    pub command: Command,
}

/// What `command` does to `charge`; nothing when it is so already.
///
/// # Errors
/// When the command does not fit the state.
pub fn decide(charge: &Charge, command: Command) -> Result<Option<Event>, Refusal> {
    match (charge.state, command) {
        (State::RequiresAction, Command::Approve) => Ok(Some(Event::Approved)),
        (State::Authorized, Command::Capture) => Ok(Some(Event::Captured)),
        (State::RequiresAction | State::Authorized, Command::Void) => Ok(Some(Event::Voided)),
        (State::Captured, Command::Refund) => Ok(Some(Event::Refunded)),
        (State::Authorized, Command::Approve)
        | (State::Captured, Command::Capture)
        | (State::Voided, Command::Void)
        | (State::Refunded, Command::Refund) => Ok(None),
        (state, command) => Err(Refusal { id: charge.id.clone(), state, command }),
    }
}

impl Charge {
    /// The charge after `event`.
    #[must_use]
    pub fn after(&self, event: Event) -> Self {
        let state = match event {
            Event::Approved => State::Authorized,
            Event::Captured => State::Captured,
            Event::Voided => State::Voided,
            Event::Refunded => State::Refunded,
        };
        Self { state, ..self.clone() }
    }

    /// The type of the webhook that tells the merchant of `event`. Only what ends a step-up is told: the rest is in an answer.
    #[must_use]
    pub fn notice_of(&self, event: Event) -> Option<&'static str> {
        match (self.state, event) {
            (State::RequiresAction, Event::Approved) => Some("charge.authorized"),
            (State::RequiresAction, Event::Voided) => Some("charge.voided"),
            _ => None,
        }
    }
}
