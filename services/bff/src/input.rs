//! What callers send, read without trust: queries, bodies, forms, names in addresses.

use std::{collections::HashMap, str::FromStr};

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, header, request::Parts},
};
use ids::{OrderId, Sku};
use rpc::{BodyError, Failure, Kind};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Error;

/// Most units of one line.
pub(crate) const MAX_QUANTITY: u32 = 999;
/// Most items of one page.
pub(crate) const MAX_PAGE: u32 = 200;
/// Most bytes of a body.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// The pairs of a query or a form; of a name that comes twice the first counts.
#[derive(Debug, Default)]
pub(crate) struct Pairs(HashMap<String, String>);

impl Pairs {
    fn of(text: &[u8]) -> Self {
        let mut pairs = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(text) {
            pairs.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        Self(pairs)
    }

    /// The value of `name`, empty when absent.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// `page_size`, if given.
    pub(crate) fn page_size(&self) -> Result<Option<u32>, Error> {
        match self.get("page_size") {
            "" => Ok(None),
            text => text.parse().ok().filter(|size| (1..=MAX_PAGE).contains(size)).map(Some).ok_or(Error::PageSize),
        }
    }
}

/// The query.
#[derive(Debug)]
pub(crate) struct Query(pub(crate) Pairs);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Ok(Self(Pairs::of(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

/// A form that a page sent.
#[derive(Debug)]
pub(crate) struct Form(pub(crate) Pairs);

impl<S: Sync> FromRequest<S> for Form {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        const TYPE: &str = "application/x-www-form-urlencoded";
        if media_type(request.headers()) != TYPE {
            return Err(Error::ContentType(TYPE));
        }
        Ok(Self(Pairs::of(&read(request.into_body()).await?)))
    }
}

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let media_type = media_type(request.headers());
        if media_type != "application/json" && !media_type.ends_with("+json") {
            return Err(Error::ContentType("application/json"));
        }
        decode(&read(request.into_body()).await?).map(Self)
    }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| Error::Body(error.to_string()))
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

async fn read(body: Body) -> Result<Vec<u8>, Error> {
    rpc::read_body(body, MAX_BODY).await.map_err(|error| match error {
        BodyError::TooLarge(limit) => Error::BodyTooLarge { limit },
        BodyError::Broken(_) => Error::Body(error.to_string()),
    })
}

/// The name in the address, e.g. the SKU of `/api/items/{sku}`. What cannot be a name names nothing.
#[derive(Debug)]
pub(crate) struct Named<T>(pub(crate) T);

/// What can be named in an address, and what it is to name nothing.
pub(crate) trait Name: FromStr<Err: std::fmt::Display> {
    /// Reason of a name that names nothing.
    const UNKNOWN: &'static str;
}

impl Name for Sku {
    const UNKNOWN: &'static str = "INVENTORY_UNKNOWN_SKU";
}

impl Name for OrderId {
    const UNKNOWN: &'static str = "ORDER_NOT_FOUND";
}

/// The thing of this name.
pub(crate) fn named<T: Name>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|error| Failure::new(Kind::NotFound, T::UNKNOWN, format!("nothing has this name: {error}")).into())
}

impl<S: Send + Sync, T: Name> FromRequestParts<S> for Named<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| Error::UnknownPath)?;
        named(&text).map(Self)
    }
}

/// A quantity as JSON has it.
pub(crate) fn quantity(value: &Value) -> Result<u32, Error> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.filter(|number| (1..=MAX_QUANTITY).contains(number)).ok_or(Error::Quantity)
}

/// A quantity as a form has it.
pub(crate) fn typed_quantity(text: &str) -> Result<u32, Error> {
    text.trim().parse().ok().filter(|number| (1..=MAX_QUANTITY).contains(number)).ok_or(Error::Quantity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn only_whole_numbers_in_range_are_quantities() {
        for good in [1, 2, 999] {
            assert_eq!(quantity(&json!(good)), Ok(good));
        }
        for bad in [json!(0), json!(-1), json!(1000), json!(1.5), json!(1e300), json!("2"), json!(null), json!(u64::MAX), json!([1])] {
            assert_eq!(quantity(&bad), Err(Error::Quantity), "{bad}");
        }
    }

    #[test]
    fn a_page_size_is_absent_or_in_range() {
        assert_eq!(Pairs::of(b"").page_size(), Ok(None));
        assert_eq!(Pairs::of(b"page_size=200&page_size=0").page_size(), Ok(Some(200)));
        for bad in ["0", "201", "-1", "x", "1.5", "99999999999"] {
            assert_eq!(Pairs::of(format!("page_size={bad}").as_bytes()).page_size(), Err(Error::PageSize), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_a_name_names_nothing() {
        assert_eq!(named::<Sku>("no such").unwrap_err().reason(), "INVENTORY_UNKNOWN_SKU");
        assert_eq!(named::<OrderId>("42").unwrap_err().status(), 404);
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes: Vec<u8>, text in "\\PC{0,40}") {
            let pairs = Pairs::of(&bytes);
            let _ = (pairs.page_size(), pairs.get(&text), typed_quantity(&text), named::<Sku>(&text), decode::<Value>(&bytes));
        }
    }
}
