//! Errors on the wire: problem documents (RFC 9457) for programs, a page for people.
//!
//! Whoever fails answers with an [`Error`]; [`render`], around the whole router, gives it the form that the caller can read.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use rpc::Problem;

use crate::{error::Error, pages};

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        Self::new(error.status(), error.reason(), error.to_string()).retryable(error.kind().is_retryable())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if self.status() >= 500 {
            tracing::warn!(reason = self.reason(), error = %self, "request failed");
        }
        let problem = Problem::from(&self);
        let mut response = problem.clone().into_response();
        response.extensions_mut().insert(problem);
        response.headers_mut().extend(self.fence());
        response
    }
}

/// Gives every error its form, and every answer the headers of a careful site.
pub(crate) async fn render(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let (as_page, is_api) = (wants_page(&path, request.headers()), path.starts_with("/api/"));
    let mut response = next.run(request).await;
    if let Some(mut problem) = response.extensions_mut().remove::<Problem>() {
        problem.instance = path;
        let (parts, _) = response.into_parts();
        response = if as_page { pages::problem(&problem).into_response() } else { problem.into_response() };
        *response.status_mut() = parts.status;
        for (name, value) in &parts.headers {
            // These are the form's own.
            if ![header::CONTENT_LENGTH, header::CONTENT_TYPE, header::RETRY_AFTER].contains(name) {
                response.headers_mut().append(name, value.clone());
            }
        }
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if is_api {
        response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    protect(response.headers_mut());
    response
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
