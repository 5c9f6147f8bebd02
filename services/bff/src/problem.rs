//! Errors on the wire: problem documents (RFC 9457) for programs, a page for people.
//!
//! Whoever fails answers with an [`Error`]; [`render`], around the whole router, gives it the form that the caller can read.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{error::Error, pages};

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// Where the reason is explained.
    pub(crate) r#type: String,
    /// The reason in words.
    pub(crate) title: String,
    pub(crate) status: u16,
    /// What happened here, and what to do.
    pub(crate) detail: String,
    pub(crate) reason: String,
    /// The address that was asked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) instance: String,
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let reason = error.reason().to_owned();
        Self {
            r#type: format!("/errors/{reason}"),
            title: title(&reason),
            status: error.status(),
            detail: error.to_string(),
            reason,
            instance: String::new(),
        }
    }
}

/// `INVENTORY_UNKNOWN_SKU` is "Unknown SKU".
fn title(reason: &str) -> String {
    const SERVICES: [&str; 6] = ["BFF", "CART", "INVENTORY", "ORDER", "PAYMENT", "SEARCH"];
    let words = reason.split_once('_').filter(|(first, _)| SERVICES.contains(first)).map_or(reason, |(_, words)| words);
    let words = words.to_lowercase().replace('_', " ").replace("sku", "SKU");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if self.status() >= 500 {
            tracing::warn!(reason = self.reason(), error = %self, "request failed");
        }
        let problem = Problem::from(&self);
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        if self.kind().is_retryable() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(problem);
        response
    }
}

/// Gives every error its form, and every answer the headers of a careful site.
pub(crate) async fn render(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let as_page = wants_page(&path, request.headers());
    let mut response = next.run(request).await;
    if let Some(mut problem) = response.extensions_mut().remove::<Problem>() {
        problem.instance = path;
        let (parts, _) = response.into_parts();
        response = if as_page { pages::problem(&problem).into_response() } else { document(&problem) };
        *response.status_mut() = parts.status;
        for (name, value) in &parts.headers {
            // An empty body's own length is not that of the document.
            if name != header::CONTENT_LENGTH {
                response.headers_mut().append(name, value.clone());
            }
        }
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    protect(response.headers_mut());
    response
}

fn document(problem: &Problem) -> Response {
    let body = serde_json::to_string(problem).expect("a problem is plain text");
    ([(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
}

/// People ask for HTML and never for the API.
fn wants_page(path: &str, headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    !path.starts_with("/api/") && accept.contains("text/html")
}

fn protect(headers: &mut HeaderMap) {
    let policy = "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use rpc::{Failure, Kind};

    #[test]
    fn a_failure_of_a_service_keeps_its_reason_and_takes_its_status_from_the_table() {
        for (kind, status) in [(Kind::NotFound, 404), (Kind::Refused, 422), (Kind::Conflict, 409), (Kind::Unavailable, 503)] {
            let problem = Problem::from(&Error::from(Failure::new(kind, "INVENTORY_UNKNOWN_SKU", "no such item")));
            assert_eq!((problem.status, problem.reason.as_str()), (status, "INVENTORY_UNKNOWN_SKU"));
            assert_eq!((problem.r#type.as_str(), problem.title.as_str()), ("/errors/INVENTORY_UNKNOWN_SKU", "Unknown SKU"));
        }
    }

    #[test]
    fn http_errors_keep_their_codes() {
        assert_eq!(Problem::from(&Error::Method).status, 405);
        assert_eq!(Problem::from(&Error::BodyTooLarge { limit: 1 }).status, 413);
        assert_eq!(Problem::from(&Error::ContentType("application/json")).status, 415);
        assert_eq!(Problem::from(&Error::UnknownPath).status, 404);
        assert_eq!(Problem::from(&Error::KeyRequired).title, "Idempotency key required");
    }

    #[test]
    fn programs_get_documents_and_people_get_pages() {
        let html = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("text/html,*/*"))]);
        assert!(wants_page("/items/X", &html));
        assert!(!wants_page("/api/items", &html));
        assert!(!wants_page("/items/X", &HeaderMap::new()));
    }
}
