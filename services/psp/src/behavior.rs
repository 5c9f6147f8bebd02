//! How the provider behaves: set at run time, kept in the store. Pure.
//!
//! What happens to a request is drawn from the seed, the request's own name (its idempotency key where it has one) and how often it was
//! asked before; never from the order in which requests arrive. So a run with the same seed and keys meets the same accidents.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Seven days, as card networks have it.
const WEEK_MS: u64 = 7 * 24 * 3600 * 1000;
/// Most repeats of a webhook that was taken.
const MAX_COPIES: u32 = 3;

/// How often something happens, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(try_from = "f64")]
pub struct Rate(f64);

impl Rate {
    /// Never.
    pub const NEVER: Self = Self(0.0);
}

impl TryFrom<f64> for Rate {
    type Error = &'static str;

    fn try_from(rate: f64) -> Result<Self, &'static str> {
        if (0.0..=1.0).contains(&rate) { Ok(Self(rate)) } else { Err("a rate is 0 to 1") }
    }
}

/// Whether the provider can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Down {
    /// It can.
    #[default]
    No,
    /// Every request is refused at once, and nothing is done.
    Unavailable,
    /// Every request is taken, never answered, and nothing is done.
    Hang,
}

/// What can be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Draw {
    /// Whether the bank declines.
    Decline,
    /// Whether the shopper is asked first.
    StepUp,
    /// How long an answer takes.
    Latency,
    /// Whether nothing is done and no answer comes.
    TimeoutBefore,
    /// Whether it is done and no answer comes.
    TimeoutAfter,
    /// Whether it is done and the answer breaks off.
    CutAfter,
    /// How long a webhook is held back.
    WebhookDelay,
    /// Whether a webhook is sent more than once.
    DuplicateWebhook,
}

impl Draw {
    fn as_str(self) -> &'static str {
        match self {
            Self::Decline => "decline",
            Self::StepUp => "step_up",
            Self::Latency => "latency",
            Self::TimeoutBefore => "timeout_before",
            Self::TimeoutAfter => "timeout_after",
            Self::CutAfter => "cut_after",
            Self::WebhookDelay => "webhook_delay",
            Self::DuplicateWebhook => "duplicate_webhook",
        }
    }
}

/// What can be set. As JSON at `/v1/behavior`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behavior {
    /// Another seed, other accidents.
    pub seed: u64,
    /// Whether the provider can be used at all.
    pub down: Down,
    /// An answer takes at least this long ..
    pub latency_min_ms: u32,
    /// .. and at most this long.
    pub latency_max_ms: u32,
    /// How many good cards are declined.
    pub decline_rate: Rate,
    /// How many good cards ask the shopper first.
    pub step_up_rate: Rate,
    /// How long a shopper takes to approve.
    pub step_up_delay_ms: u32,
    /// How many changes are not made and not answered.
    pub timeout_before_rate: Rate,
    /// How many changes are made and not answered.
    pub timeout_after_rate: Rate,
    /// How many changes are made, and the connection breaks under the answer.
    pub cut_after_rate: Rate,
    /// A webhook is held back for at least this long ..
    pub webhook_delay_min_ms: u32,
    /// .. and at most this long, so that a later one may overtake it.
    pub webhook_delay_max_ms: u32,
    /// How many webhooks come more than once although they were taken.
    pub duplicate_webhook_rate: Rate,
    /// An authorization that is neither captured nor voided ends after this long.
    pub authorization_ttl_ms: u64,
}

impl Default for Behavior {
    /// A good day, but for shoppers, who take their time.
    fn default() -> Self {
        Self {
            seed: 1,
            down: Down::No,
            latency_min_ms: 0,
            latency_max_ms: 0,
            decline_rate: Rate::NEVER,
            step_up_rate: Rate::NEVER,
            step_up_delay_ms: 2000,
            timeout_before_rate: Rate::NEVER,
            timeout_after_rate: Rate::NEVER,
            cut_after_rate: Rate::NEVER,
            webhook_delay_min_ms: 0,
            webhook_delay_max_ms: 0,
            duplicate_webhook_rate: Rate::NEVER,
            authorization_ttl_ms: WEEK_MS,
        }
    }
}

impl Behavior {
    /// This one with the fields of `body`, a JSON object, in place of its own.
    ///
    /// # Errors
    /// Says which field cannot be used, and leaves everything as it was.
    pub fn with(&self, body: &[u8]) -> Result<Self, String> {
        let changes: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(body).map_err(|error| format!("the body cannot be used: {error}"))?;
        let mut fields = serde_json::to_value(self).expect("numbers and words are JSON");
        for (name, value) in changes {
            fields[name] = value;
        }
        let changed: Self = serde_json::from_value(fields).map_err(|error| error.to_string())?;
        if changed.latency_min_ms > changed.latency_max_ms {
            return Err("latency_min_ms is at most latency_max_ms".to_owned());
        }
        if changed.webhook_delay_min_ms > changed.webhook_delay_max_ms {
            return Err("webhook_delay_min_ms is at most webhook_delay_max_ms".to_owned());
        }
        if changed.authorization_ttl_ms == 0 {
            return Err("authorization_ttl_ms is more than 0".to_owned());
        }
        Ok(changed)
    }

    /// 32 bits that `draw` gives for what is called `name` when it is asked for the `attempt`th time.
    fn bits(&self, draw: Draw, name: &str, attempt: u32) -> u32 {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_be_bytes());
        hash.update(attempt.to_be_bytes());
        hash.update(draw.as_str());
        hash.update([0]);
        hash.update(name);
        let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
        u32::from_be_bytes([a, b, c, d])
    }

    /// Whether it happens, at this rate.
    fn happens(&self, rate: Rate, draw: Draw, name: &str, attempt: u32) -> bool {
        rate > Rate::NEVER && f64::from(self.bits(draw, name, attempt)) < rate.0 * (f64::from(u32::MAX) + 1.0)
    }

    /// From `min` to `max`.
    fn between(&self, min: u32, max: u32, draw: Draw, name: &str, attempt: u32) -> u64 {
        let span = u64::from(max.saturating_sub(min)) + 1;
        u64::from(min) + ((span * u64::from(self.bits(draw, name, attempt))) >> 32)
    }

    /// Whether a request can meet anything but its answer, at once.
    #[must_use]
    pub fn is_eventful(&self) -> bool {
        let rates = [self.timeout_before_rate, self.timeout_after_rate, self.cut_after_rate];
        self.latency_max_ms > 0 || rates.iter().any(|rate| *rate > Rate::NEVER)
    }

    /// What the bank makes of a good card.
    #[must_use]
    pub fn mood(&self, key: &str) -> Mood {
        if self.happens(self.decline_rate, Draw::Decline, key, 0) {
            Mood::Declines
        } else if self.happens(self.step_up_rate, Draw::StepUp, key, 0) {
            Mood::AsksShopper
        } else {
            Mood::Agrees
        }
    }

    /// How long an answer takes.
    #[must_use]
    pub fn latency(&self, name: &str, attempt: u32) -> Duration {
        Duration::from_millis(self.between(self.latency_min_ms, self.latency_max_ms, Draw::Latency, name, attempt))
    }

    /// Whether a change is lost on its way in.
    #[must_use]
    pub fn is_lost(&self, name: &str, attempt: u32) -> bool {
        self.happens(self.timeout_before_rate, Draw::TimeoutBefore, name, attempt)
    }

    /// What becomes of the answer to a change that was made.
    #[must_use]
    pub fn answer(&self, name: &str, attempt: u32) -> Answer {
        if self.happens(self.timeout_after_rate, Draw::TimeoutAfter, name, attempt) {
            Answer::Never
        } else if self.happens(self.cut_after_rate, Draw::CutAfter, name, attempt) {
            Answer::Cut
        } else {
            Answer::Whole
        }
    }

    /// How long the webhook called `name` is held back, ms.
    #[must_use]
    pub fn webhook_delay_ms(&self, name: &str) -> u64 {
        self.between(self.webhook_delay_min_ms, self.webhook_delay_max_ms, Draw::WebhookDelay, name, 0)
    }

    /// How often the webhook called `name` comes again after it was taken.
    #[must_use]
    pub fn webhook_copies(&self, name: &str) -> u32 {
        let is_doubled = self.happens(self.duplicate_webhook_rate, Draw::DuplicateWebhook, name, 0);
        if is_doubled { 1 + self.bits(Draw::DuplicateWebhook, name, 1) % MAX_COPIES } else { 0 }
    }
}

/// What the bank makes of a good card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// The amount is held.
    Agrees,
    /// The shopper is asked first.
    AsksShopper,
    /// No.
    Declines,
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It comes.
    Whole,
    /// It never comes.
    Never,
    /// The connection breaks under it.
    Cut,
}

#[cfg(test)]
mod tests;
