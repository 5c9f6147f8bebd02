//! `POST /webhooks/psp`: what the provider tells of its own accord. Believed only when signed a short while ago; each is applied once: its id
//! is noted in the transaction that applies it, and a repeat is thanked for and changes nothing. They may come in any order, since each
//! brings the whole charge, and the payment never goes back.

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rpc::{Failure, Problem};
use serde::Deserialize;
use sha2::Sha256;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{cashier::Cashier, error::Error, metrics, psp::WireCharge, store::Heard};

/// Longest body, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// How far the signature's time may be from ours, in seconds: what was signed longer ago is a replay.
const TOLERANCE: i64 = 300;

/// What the handler needs.
#[derive(Clone)]
pub(crate) struct Webhooks {
    pub(crate) cashier: Cashier,
    pub(crate) secret: config::Secret,
}

#[derive(Deserialize)]
struct Notice {
    id: String,
    charge: WireCharge,
}

/// The route.
pub(crate) fn router(webhooks: Webhooks) -> Router {
    Router::new().route("/webhooks/psp", post(receive)).with_state(webhooks)
}

async fn receive(State(webhooks): State<Webhooks>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let taken = match rpc::read_body(body, MAX_BODY).await {
        Ok(body) => webhooks.take(&parts.headers, &body).await,
        Err(error) => Err(Error::Webhook(error.to_string())),
    };
    metrics::count_webhook(taken.as_ref().ok().copied());
    match taken {
        Ok(_) => (StatusCode::OK, Json(serde_json::json!({ "received": true }))).into_response(),
        Err(error) => Problem::from(Failure::from(error)).into_response(),
    }
}

impl Webhooks {
    async fn take(&self, headers: &HeaderMap, body: &[u8]) -> Result<Heard, Error> {
        let signature = headers.get("psp-signature").and_then(|value| value.to_str().ok()).ok_or(Error::Signature)?;
        if !is_signed(self.secret.expose().as_bytes(), signature, body, OffsetDateTime::now_utc().unix_timestamp()) {
            return Err(Error::Signature);
        }
        let notice: Notice = serde_json::from_slice(body).map_err(|error| Error::Webhook(format!("the body is no notice: {error}")))?;
        let id = notice.id.strip_prefix("evt_").and_then(|id| Uuid::try_parse(id).ok());
        let id = id.ok_or_else(|| Error::Webhook("the notice's id is not evt_ and a UUID".to_owned()))?;
        let (order_id, charge) = notice.charge.read().map_err(Error::Webhook)?;
        tracing::info!(order.id = %order_id, notice.id = notice.id, charge.state = charge.state.as_str(), "the provider tells of a charge");
        self.cashier.hear(id, order_id, &charge).await
    }
}

/// Whether `header`, of the form `t=<unix seconds>,v1=<hex>`, signs `body` with `key` about `now`.
fn is_signed(key: &[u8], header: &str, body: &[u8], now: i64) -> bool {
    let part = |name: &str| header.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    let (Some(moment), Some(signature)) = (part("t"), part("v1").and_then(unhex)) else { return false };
    if moment.parse::<i64>().map_or(true, |moment| moment.abs_diff(now) > TOLERANCE.unsigned_abs()) {
        return false;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(moment.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.verify_slice(&signature).is_ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_760_000_000;

    /// HMAC-SHA-256 of `1760000000.{"a":1}` under `key`, from `openssl dgst -sha256 -hmac key`.
    const SIGNATURE: &str = "ea2dd8b79cfdfdd125316a2c1461695044ab2ddf62592b0eee2b53cd466ca512";

    fn header() -> String {
        format!("t={NOW},v1={SIGNATURE}")
    }

    #[test]
    fn a_signature_holds_for_its_body_key_and_moment_only() {
        let body = br#"{"a":1}"#;
        assert!(is_signed(b"key", &header(), body, NOW));
        assert!(is_signed(b"key", &header(), body, NOW + TOLERANCE));
        assert!(!is_signed(b"key", &header(), body, NOW + TOLERANCE + 1));
        assert!(!is_signed(b"key", &header(), body, NOW - TOLERANCE - 1));
        assert!(!is_signed(b"kex", &header(), body, NOW));
        assert!(!is_signed(b"key", &header(), br#"{"a":2}"#, NOW));
        assert!(!is_signed(b"key", &header().replace(&format!("t={NOW}"), &format!("t={}", NOW + 1)), body, NOW));
    }

    proptest! {
        #[test]
        fn no_header_breaks_the_check(header in "(t=[0-9-]{0,25},)?(v1=)?\\PC{0,80}", now: i64) {
            let is_signed = is_signed(b"key", &header, b"body", now);
            prop_assert!(!is_signed);
        }
    }
}
