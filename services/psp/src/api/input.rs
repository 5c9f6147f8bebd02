//! What callers send, read without trust: keys, bodies, queries.

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use money::Currency;
use rpc::BodyError;
use serde::Deserialize;
use url::{Host, Url, form_urlencoded};

use crate::{
    domain::Token,
    error::Error,
    store::{Period, Request},
};

/// Most bytes of a body.
const MAX_BODY: usize = 16 * 1024;
const MAX_KEY: usize = 255;
const MAX_ORDER_ID: usize = 64;
const MAX_ACCOUNT: usize = 32;
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
pub(crate) async fn read(body: Body) -> Result<Vec<u8>, Error> {
    rpc::read_body(body, MAX_BODY).await.map_err(|error| match error {
        BodyError::TooLarge(limit) => Error::BodyTooLarge { limit },
        BodyError::Broken(_) => Error::Invalid(error.to_string()),
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    order_id: String,
    account: Option<String>,
    amount_minor: i64,
    currency: String,
    payment_token: String,
    webhook_url: Option<String>,
}

/// What `body` asks for under `idempotency_key`.
pub(super) fn charge(idempotency_key: String, body: &[u8]) -> Result<Request, Error> {
    let Fields { order_id, account, amount_minor, currency, payment_token, webhook_url } =
        serde_json::from_slice(body).map_err(|error| Error::Invalid(format!("the body cannot be used: {error}")))?;
    if !(1..=MAX_ORDER_ID).contains(&order_id.chars().count()) {
        return Err(Error::Invalid(format!("order_id has 1 to {MAX_ORDER_ID} characters")));
    }
    if !account.as_deref().is_none_or(is_account) {
        return Err(Error::Invalid(format!("account has 1 to {MAX_ACCOUNT} characters of a-z, 0-9 and '-'")));
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
    Ok(Request { idempotency_key, order_id, account, amount_minor, currency, token, webhook_url })
}

fn is_account(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_ACCOUNT).contains(&text.len()) && text.bytes().all(is_plain)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    amount_minor: Option<i64>,
}

/// How much a refund asks for; a body is needed only to name an amount.
pub(super) fn refund(headers: &HeaderMap, body: &[u8]) -> Result<Option<i64>, Error> {
    if body.is_empty() {
        return Ok(None);
    }
    is_json(headers)?;
    let Part { amount_minor } =
        serde_json::from_slice(body).map_err(|error| Error::Invalid(format!("the body cannot be used: {error}")))?;
    if amount_minor.is_some_and(|amount| amount <= 0) {
        return Err(Error::Invalid("amount_minor is more than 0".to_owned()));
    }
    Ok(amount_minor)
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

/// The values of a query that takes `names` and no others, each at most once.
fn values<const N: usize>(query: &str, names: [&str; N]) -> Result<[Option<String>; N], Error> {
    let mut found = [const { None }; N];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let Some(at) = names.iter().position(|known| *known == name) else {
            return Err(Error::Invalid(format!("the query takes {}", names.join(", "))));
        };
        if found[at].replace(value.into_owned()).is_some() {
            return Err(Error::Invalid(format!("the query names {name} twice")));
        }
    }
    Ok(found)
}

/// Reads the query of a list.
pub(super) fn wanted(query: &str) -> Result<Wanted, Error> {
    let [order_id, idempotency_key, page_size, page_token] = values(query, ["order_id", "idempotency_key", "page_size", "page_token"])?;
    match (idempotency_key, order_id, page_size, page_token) {
        (Some(key), None, None, None) => Ok(Wanted::Key(key)),
        (Some(_), ..) => Err(Error::Invalid("idempotency_key names one charge, so it stands alone in a query".to_owned())),
        (None, order_id, size, token) => {
            let limit = size.map_or(Ok(DEFAULT_PAGE), |size| page_size_of(&size))?;
            Ok(Wanted::Page { order_id, limit, after: token.map(page_token_of).transpose()? })
        }
    }
}

/// Which movements are wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Movements {
    pub(super) period: Period,
    pub(super) limit: usize,
    /// The last row seen.
    pub(super) after: Option<(i64, u64)>,
}

/// Reads the query of a list of movements.
pub(super) fn movements(query: &str) -> Result<Movements, Error> {
    let [account, from, to, page_size, page_token] = values(query, ["account", "from", "to", "page_size", "page_token"])?;
    let moment = |text: Option<String>, otherwise: i64| {
        let parsed = text.map_or(Ok(otherwise), |text| text.parse());
        parsed.map_err(|_| Error::Invalid("from and to are in milliseconds since 1970".to_owned()))
    };
    let period = Period { account, from: moment(from, 0)?, to: moment(to, i64::MAX)? };
    let after = page_token.map(|token| {
        let parts = token.split_once('-').and_then(|(time, number)| Some((time.parse().ok()?, number.parse().ok()?)));
        parts.ok_or_else(|| Error::Invalid("page_token is the next_page_token of an earlier answer".to_owned()))
    });
    let limit = page_size.map_or(Ok(DEFAULT_PAGE), |size| page_size_of(&size))?;
    Ok(Movements { period, limit, after: after.transpose()? })
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
