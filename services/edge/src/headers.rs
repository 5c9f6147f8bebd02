//! Headers on their way through: what belongs to one hop stays behind (RFC 9110 section 7.6.1), what tells of the client is ours to say.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Version, header, request::Parts};

use crate::error::Error;

/// Says which region answered.
pub(crate) const X_SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
/// Comes with an answer that nothing was done, because the region may not write what it was asked to. The request can be repeated anywhere.
const X_REGION_FENCED: HeaderName = HeaderName::from_static("x-region-fenced");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What belongs to one hop, named by `Connection` or not.
const HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What a client may claim about itself, and nobody should believe.
const CLAIMS: [HeaderName; 5] =
    [header::FORWARDED, HeaderName::from_static("x-real-ip"), X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO];

/// Takes out what belongs to one hop, in either direction.
pub(crate) fn clean(headers: &mut HeaderMap) {
    let options = headers.get_all(header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    let named: Vec<HeaderName> = options.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    // Of two lengths the one of the chunks counts (RFC 9112 section 6.3); the other is how requests are smuggled.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    for name in named.iter().chain(&HOP) {
        headers.remove(name);
    }
}

/// Writes who asks, for the region. Call after [`clean`].
pub(crate) fn introduce(headers: &mut HeaderMap, host: Option<&HeaderValue>, client: Option<IpAddr>) {
    for name in CLAIMS {
        headers.remove(name);
    }
    // Fulfilled here: the body is read as soon as a region takes it.
    headers.remove(header::EXPECT);
    // The name for a client whose address is not known is that of RFC 7239 section 6.
    let client = client.map_or_else(|| "unknown".to_owned(), |client| client.to_canonical().to_string());
    headers.insert(X_FORWARDED_FOR, HeaderValue::from_str(&client).expect("an address is plain ASCII"));
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    if let Some(host) = host {
        headers.insert(header::HOST, host.clone());
        headers.insert(X_FORWARDED_HOST, host.clone());
    }
    headers.append(header::VIA, HeaderValue::from_static("1.1 edge"));
}

/// The name that the client knows the shop by. A name in the address wins (RFC 9112 section 3.2.2).
pub(crate) fn host(parts: &Parts) -> Result<Option<HeaderValue>, Error> {
    if let Some(authority) = parts.uri.authority() {
        return HeaderValue::from_str(authority.as_str()).map(Some).map_err(|_| Error::Invalid("its address has no usable host"));
    }
    let mut hosts = parts.headers.get_all(header::HOST).into_iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Ok(Some(host.clone())),
        (None, _) if parts.version < Version::HTTP_11 => Ok(None),
        _ => Err(Error::Invalid("it must have one header Host")),
    }
}

/// Whether an answer says that nothing was done because the region is fenced. It comes with 503, or, over gRPC, with `UNAVAILABLE`.
pub(crate) fn is_fenced(headers: &HeaderMap) -> bool {
    headers.contains_key(X_REGION_FENCED)
}

/// The value of a cookie; of a name that comes twice the first counts.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|value| value.split(';')).find_map(|pair| {
        let (found, value) = pair.trim().split_once('=')?;
        (found == name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use proptest::prelude::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn what_connection_names_stays_behind() {
        let mut all = headers(&[
            ("connection", "close, X-Secret"),
            ("connection", "x-other,,"),
            ("x-secret", "1"),
            ("x-other", "2"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("keep-alive", "timeout=5"),
            ("accept", "text/html"),
        ]);
        clean(&mut all);
        assert_eq!(all, headers(&[("accept", "text/html")]));
    }

    #[test]
    fn a_length_beside_chunks_is_not_passed_on() {
        let mut both = headers(&[("transfer-encoding", "chunked"), ("content-length", "5")]);
        clean(&mut both);
        assert!(both.is_empty());
        let mut one = headers(&[("content-length", "5")]);
        clean(&mut one);
        assert_eq!(one["content-length"], "5");
    }

    #[test]
    fn claims_of_the_client_are_replaced() {
        let mut claims = headers(&[("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=6.6.6.6"), ("x-forwarded-proto", "https")]);
        introduce(&mut claims, Some(&HeaderValue::from_static("shop.test")), Some("::ffff:10.0.0.7".parse().unwrap()));
        let expected = headers(&[
            ("x-forwarded-for", "10.0.0.7"),
            ("x-forwarded-proto", "http"),
            ("host", "shop.test"),
            ("x-forwarded-host", "shop.test"),
            ("via", "1.1 edge"),
        ]);
        assert_eq!(claims, expected);
        introduce(&mut claims, None, None);
        assert_eq!(claims["x-forwarded-for"], "unknown");
        assert!(!claims.contains_key("x-forwarded-host"), "that was a claim too");
    }

    #[test]
    fn there_is_one_host() {
        let parts = |uri: &str, hosts: &[&str]| {
            let request = hosts.iter().fold(Request::get(uri), |request, host| request.header("host", *host));
            request.body(()).unwrap().into_parts().0
        };
        assert_eq!(host(&parts("/", &["a"])).unwrap().unwrap(), "a");
        assert_eq!(host(&parts("http://b:1/", &["a"])).unwrap().unwrap(), "b:1");
        assert!(host(&parts("/", &[])).is_err());
        assert!(host(&parts("/", &["a", "b"])).is_err());
    }

    proptest! {
        #[test]
        fn nothing_of_the_hop_survives_and_nothing_else_is_lost(
            options in prop::collection::vec("[a-z]{1,6}", 0..5),
            others in prop::collection::vec("[a-z]{1,6}", 0..8),
        ) {
            let mut all: HeaderMap =
                others.iter().chain(&options).map(|name| (name.parse().unwrap(), HeaderValue::from_static("v"))).collect();
            all.insert(header::CONNECTION, options.join(" , ").parse().unwrap());
            clean(&mut all);
            for name in HOP {
                prop_assert!(!all.contains_key(name));
            }
            for name in &options {
                prop_assert!(!all.contains_key(name.as_str()));
            }
            for name in others.iter().filter(|name| !options.contains(name) && !HOP.iter().any(|hop| hop == name.as_str())) {
                prop_assert!(all.contains_key(name.as_str()));
            }
        }

        #[test]
        fn no_header_panics(bytes: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let mut all = HeaderMap::from_iter([(header::CONNECTION, value.clone()), (header::COOKIE, value)]);
                let _ = cookie(&all, "region");
                clean(&mut all);
            }
        }
    }
}
