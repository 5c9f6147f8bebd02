//! What is kept of a charge, and what it asks for outside.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    behavior::Behavior,
    domain::{Charge, Event, Kind, Movement, State, Token},
};

/// What is asked for under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) idempotency_key: String,
    pub(crate) order_id: String,
    /// Which of the merchant's accounts is credited.
    pub(crate) account: Option<String>,
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
    /// When it ends unless it is captured or voided, unix ms. Charges of earlier versions do not end.
    #[serde(default)]
    pub(super) expires: Option<i64>,
}

impl Record {
    /// The charge that the bank makes of `request` at `now`.
    pub(super) fn new(request: Request, traceparent: Option<String>, behavior: &Behavior, now: i64) -> Self {
        let (state, decline_code) = request.token.authorize(behavior.mood(&request.idempotency_key));
        let charge = Charge {
            id: format!("ch_{}", Uuid::now_v7().simple()),
            order_id: request.order_id,
            account: request.account,
            state,
            amount_minor: request.amount_minor,
            currency: request.currency,
            idempotency_key: request.idempotency_key,
            decline_code,
            captured_at: None,
            refunded_minor: 0,
            refunds: Vec::new(),
            chargeback: None,
        };
        let ttl = i64::try_from(behavior.authorization_ttl_ms).unwrap_or(i64::MAX);
        let expires = holds(&charge).then(|| now.saturating_add(ttl));
        Self { charge, token: request.token, webhook_url: request.webhook_url, created: now, traceparent, expires }
    }

    /// True when this is what `request` asks for. Where the merchant listens and which account it
    /// credits are no part of that: another of its regions may have taken over since.
    pub(super) fn answers(&self, request: &Request) -> bool {
        let charge = &self.charge;
        let Request { idempotency_key, order_id, amount_minor, currency, token, account: _, webhook_url: _ } = request;
        (&charge.idempotency_key, &charge.order_id, &charge.amount_minor, &charge.currency)
            == (idempotency_key, order_id, amount_minor, currency)
            && self.token == *token
    }

    /// The webhook about `event`, which has just happened to this charge, if the merchant is to hear of it.
    pub(super) fn webhook(&self, event: &Event, behavior: &Behavior, now: i64) -> Option<Webhook> {
        let (kind, url) = (self.charge.notice_of(event)?, self.webhook_url.clone()?);
        let name = match event {
            Event::Refunded(refund) => format!("{kind}/{}", refund.idempotency_key),
            _ => format!("{kind}/{}", self.charge.idempotency_key),
        };
        let delay = i64::try_from(behavior.webhook_delay_ms(&name)).unwrap_or(i64::MAX);
        let id = format!("evt_{}", Uuid::now_v7().simple());
        let notice = Notice { id, kind: kind.to_owned(), created: now / 1000, charge: self.charge.after(event) };
        let (due, copies) = (now.saturating_add(delay), behavior.webhook_copies(&name));
        Some(Webhook { notice, url, traceparent: self.traceparent.clone(), due, copies })
    }
}

/// True while a charge holds an amount, or may come to.
pub(super) fn holds(charge: &Charge) -> bool {
    matches!(charge.state, State::RequiresAction | State::Authorized)
}

/// A movement of a merchant's balance, as the list for reconciliation shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transaction {
    /// `txn_` and its number.
    pub(crate) id: String,
    pub(crate) kind: Kind,
    /// Id of the charge, the refund or the chargeback.
    pub(crate) source_id: String,
    pub(crate) charge_id: String,
    pub(crate) order_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
    /// More than 0 when it is to the merchant's credit.
    pub(crate) amount_minor: i64,
    pub(crate) currency: String,
    /// Unix ms; never less than that of an earlier one.
    pub(crate) created: i64,
}

impl Transaction {
    pub(super) fn new(number: u64, movement: Movement, charge: &Charge, created: i64) -> Self {
        let Movement { kind, source_id, amount_minor } = movement;
        Self {
            id: format!("txn_{number}"),
            kind,
            source_id,
            charge_id: charge.id.clone(),
            order_id: charge.order_id.clone(),
            account: charge.account.clone(),
            amount_minor,
            currency: charge.currency.clone(),
            created,
        }
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
    /// Not to be sent earlier, unix ms.
    #[serde(default)]
    pub(crate) due: i64,
    /// How often it is sent again after it was taken.
    #[serde(default)]
    pub(crate) copies: u32,
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
    Webhook(Box<Webhook>),
}

/// The wall clock, unix ms.
pub(crate) fn now_millis() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).expect("milliseconds of this age fit 64 bits")
}
