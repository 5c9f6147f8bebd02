//! What is kept of a charge, and what it asks for outside.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{Charge, Event, Token};

/// What is asked for under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) idempotency_key: String,
    pub(crate) order_id: String,
    pub(crate) amount_minor: i64,
    pub(crate) currency: String,
    pub(crate) token: Token,
    /// Where the merchant hears of a step-up's end.
    pub(crate) webhook_url: Option<String>,
}

/// A charge with what callers do not see of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) charge: Charge,
    token: Token,
    webhook_url: Option<String>,
    /// Unix ms.
    pub(crate) created: i64,
    /// The trace of the request that made it, for the webhook that ends it.
    traceparent: Option<String>,
}

impl Record {
    /// The charge that the bank makes of `request` at `now`.
    pub(super) fn new(request: Request, traceparent: Option<String>, now: i64) -> Self {
        let (state, decline_code) = request.token.authorize();
        let charge = Charge {
            id: format!("ch_{}", Uuid::now_v7().simple()),
            order_id: request.order_id,
            state,
            amount_minor: request.amount_minor,
            currency: request.currency,
            idempotency_key: request.idempotency_key,
            decline_code,
        };
        Self { charge, token: request.token, webhook_url: request.webhook_url, created: now, traceparent }
    }

    /// True when this is what `request` asks for. Where the merchant listens is no part of that: it may have moved since.
    pub(super) fn answers(&self, request: &Request) -> bool {
        let charge = &self.charge;
        let Request { idempotency_key, order_id, amount_minor, currency, token, webhook_url: _ } = request;
        (&charge.idempotency_key, &charge.order_id, &charge.amount_minor, &charge.currency)
            == (idempotency_key, order_id, amount_minor, currency)
            && self.token == *token
    }

    /// The webhook about `event`, which has just happened to this charge, if the merchant is to hear of it.
    pub(super) fn webhook(&self, event: Event, now: i64) -> Option<Webhook> {
        let (kind, url) = (self.charge.notice_of(event)?, self.webhook_url.clone()?);
        let id = format!("evt_{}", Uuid::now_v7().simple());
        let notice = Notice { id, kind: kind.to_owned(), created: now / 1000, charge: self.charge.after(event) };
        Some(Webhook { notice, url, traceparent: self.traceparent.clone() })
    }
}

/// What a webhook says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notice {
    /// `evt_` and a `UUIDv7` without dashes; the same in every repeat.
    pub(crate) id: String,
    /// E.g. `charge.authorized`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Unix seconds.
    pub(crate) created: i64,
    pub(crate) charge: Charge,
}

/// A notice on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Webhook {
    pub(crate) notice: Notice,
    pub(crate) url: String,
    pub(crate) traceparent: Option<String>,
}

/// A shopper who is asked to approve a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepUp {
    pub(crate) charge_id: String,
    /// When the shopper approves, unix ms.
    pub(crate) due: i64,
}

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    StepUp(StepUp),
    Webhook(Webhook),
}

/// The wall clock, unix ms.
pub(crate) fn now_millis() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).expect("milliseconds of this age fit 64 bits")
}
