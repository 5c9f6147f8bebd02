//! What callers send, read without trust: keys, bodies, queries.

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use money::Currency;
use rpc::BodyError;
use serde::Deserialize;
use url::{Host, Url, form_urlencoded};

use crate::{domain::Token, error::Error, store::Request};

/// Most bytes of a body.
const MAX_BODY: usize = 16 * 1024;
const MAX_KEY: usize = 255;
const MAX_ORDER_ID: usize = 64;
const MAX_URL: usize = 2048;
const MAX_PAGE: usize = 1000;
const DEFAULT_PAGE: usize = 100;

/// The idempotency key.
pub(super) fn key(headers: &HeaderMap) -> Result<String, Error> {
    let mut values = headers.get_all("idempotency-key").iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Error::Key) };
    let key = value.to_str().map_err(|_| Error::Key)?;
    let is_sound = (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_sound { Ok(key.to_owned()) } else { Err(Error::Key) }
}

/// Refuses a body that does not say it is JSON.
pub(super) fn is_json(headers: &HeaderMap) -> Result<(), Error> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") { Ok(()) } else { Err(Error::ContentType) }
}

/// The bytes of a body.
pub(super) async fn read(body: Body) -> Result<Vec<u8>, Error> {
    rpc::read_body(body, MAX_BODY).await.map_err(|error| match error {
        BodyError::TooLarge(limit) => Error::BodyTooLarge { limit },
        BodyError::Broken(_) => Error::Invalid(error.to_string()),
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    order_id: String,
    amount_minor: i64,
    currency: String,
    payment_token: String,
    webhook_url: Option<String>,
}

/// What `body` asks for under `idempotency_key`.
pub(super) fn charge(idempotency_key: String, body: &[u8]) -> Result<Request, Error> {
    let Fields { order_id, amount_minor, currency, payment_token, webhook_url } =
        serde_json::from_slice(body).map_err(|error| Error::Invalid(format!("the body cannot be used: {error}")))?;
    if !(1..=MAX_ORDER_ID).contains(&order_id.chars().count()) {
        return Err(Error::Invalid(format!("order_id has 1 to {MAX_ORDER_ID} characters")));
    }
    if amount_minor <= 0 {
        return Err(Error::Invalid("amount_minor is more than 0".to_owned()));
    }
    currency.parse::<Currency>().map_err(|error| Error::Invalid(error.to_string()))?;
    if !webhook_url.as_deref().is_none_or(is_near) {
        return Err(Error::Invalid(
            "webhook_url is an absolute http:// address on this machine, e.g. http://127.0.0.1:21103/webhooks".to_owned(),
        ));
    }
    let token: Token = payment_token.parse().map_err(|_| Error::UnknownToken)?;
    Ok(Request { idempotency_key, order_id, amount_minor, currency, token, webhook_url })
}

/// True for an address that this process may be sent to by a stranger: `http://` on this machine.
fn is_near(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let is_loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    text.len() <= MAX_URL && url.scheme() == "http" && is_loopback && url.username().is_empty() && url.password().is_none()
}

/// Which charges are wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The one of a key, declined or not.
    Key(String),
    /// One page of an order's, or of all.
    Page { order_id: Option<String>, limit: usize, after: Option<String> },
}

/// Reads the query of a list.
pub(super) fn wanted(query: &str) -> Result<Wanted, Error> {
    let [mut order_id, mut idempotency_key, mut page_size, mut page_token] = [const { None }; 4];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let slot = match &*name {
            "order_id" => &mut order_id,
            "idempotency_key" => &mut idempotency_key,
            "page_size" => &mut page_size,
            "page_token" => &mut page_token,
            _ => return Err(Error::Invalid("the query takes order_id, idempotency_key, page_size and page_token".to_owned())),
        };
        if slot.replace(value.into_owned()).is_some() {
            return Err(Error::Invalid(format!("the query names {name} twice")));
        }
    }
    match (idempotency_key, order_id, page_size, page_token) {
        (Some(key), None, None, None) => Ok(Wanted::Key(key)),
        (Some(_), ..) => Err(Error::Invalid("idempotency_key names one charge, so it stands alone in a query".to_owned())),
        (None, order_id, size, token) => {
            let limit = size.map_or(Ok(DEFAULT_PAGE), |size| page_size_of(&size))?;
            Ok(Wanted::Page { order_id, limit, after: token.map(page_token_of).transpose()? })
        }
    }
}

fn page_size_of(text: &str) -> Result<usize, Error> {
    let size = text.parse().ok().filter(|size| (1..=MAX_PAGE).contains(size));
    size.ok_or_else(|| Error::Invalid(format!("page_size is 1 to {MAX_PAGE}")))
}

/// A page token is the id of the last charge seen.
fn page_token_of(text: String) -> Result<String, Error> {
    let is_id = text.strip_prefix("ch_").is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_id { Ok(text) } else { Err(Error::Invalid("page_token is the next_page_token of an earlier answer".to_owned())) }
}

#[cfg(test)]
mod tests;
