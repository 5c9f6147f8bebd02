//! Who is shopping: the cookie `session`, or the header `X-Session` of programs, which wins.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use ids::SessionId;

use crate::error::Error;

/// The caller's session, if there is one already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known(pub(crate) Option<SessionId>);

/// The caller's session, made here if there was none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    is_new: bool,
}

impl Session {
    /// Lets the browser remember a session made here.
    pub(crate) fn with(&self, response: impl IntoResponse) -> Response {
        let mut response = response.into_response();
        if self.is_new {
            let cookie = format!("session={}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax", self.id);
            let cookie = HeaderValue::from_str(&cookie).expect("a session is plain ASCII");
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}

impl Session {
    /// Whether the caller is known by a session already, and not by one made for this request.
    pub(crate) fn is_known(&self) -> bool {
        !self.is_new
    }

    /// A session that the browser is to go on with.
    pub(crate) fn begun(id: SessionId) -> Self {
        Self { id, is_new: true }
    }

    /// Lets the browser forget its session.
    pub(crate) fn end(response: impl IntoResponse) -> Response {
        let mut response = response.into_response();
        let gone = HeaderValue::from_static("session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
        response.headers_mut().append(header::SET_COOKIE, gone);
        response
    }
}

fn find(headers: &HeaderMap) -> Result<Option<SessionId>, Error> {
    if let Some(value) = headers.get("x-session") {
        let text = value.to_str().unwrap_or_default();
        return text.parse().map(Some).map_err(Error::Session);
    }
    Ok(cookie(headers, "session").and_then(|text| text.parse().ok()))
}

/// The value of a cookie; of a name that comes twice the first counts.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|value| value.split(';')).find_map(|pair| {
        let (found, value) = pair.trim().split_once('=')?;
        (found == name).then_some(value)
    })
}

impl<S: Sync> FromRequestParts<S> for Known {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        find(&parts.headers).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Ok(match find(&parts.headers)? {
            Some(id) => Self { id, is_new: false },
            None => Self { id: random().parse().expect("32 hexadecimal digits are a session"), is_new: true },
        })
    }
}

/// 128 random bits in hexadecimal: a name that nobody guesses.
pub(crate) fn random() -> String {
    format!("{:032x}", rand::random::<u128>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| ((*name).try_into().unwrap(), HeaderValue::from_str(value).unwrap());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_header_wins_over_the_cookie() {
        let both = headers(&[("cookie", "region=us; session=abc"), ("x-session", "program")]);
        assert_eq!(find(&both).unwrap().unwrap().as_str(), "program");
        let cookie = headers(&[("cookie", "region=us; session=abc; session=def")]);
        assert_eq!(find(&cookie).unwrap().unwrap().as_str(), "abc");
        assert_eq!(find(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn a_bad_header_is_refused_and_a_bad_cookie_is_forgotten() {
        assert_eq!(find(&headers(&[("x-session", "a b")])).unwrap_err().reason(), "BFF_INVALID_SESSION");
        assert_eq!(find(&headers(&[("x-session", "")])).unwrap_err().reason(), "BFF_INVALID_SESSION");
        assert_eq!(find(&headers(&[("cookie", "session=a/b")])), Ok(None));
    }

    proptest! {
        #[test]
        fn no_cookie_panics(bytes: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let headers = HeaderMap::from_iter([(header::COOKIE, value)]);
                let _ = find(&headers);
            }
        }
    }
}
