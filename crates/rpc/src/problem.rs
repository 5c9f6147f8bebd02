//! Errors over HTTP: problem documents (RFC 9457) with the `reason` that gRPC callers get too.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::Failure;

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where the reason is explained: `/errors/<REASON>`.
    pub r#type: String,
    /// The reason in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened here, and what to do.
    pub detail: String,
    /// `UPPER_SNAKE` reason with a page in `docs/errors/`.
    pub reason: String,
    /// The path that was asked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub instance: String,
    /// Whether a repeat of the same request makes sense; the answer then says when.
    #[serde(skip)]
    pub is_retryable: bool,
}

impl Problem {
    /// A problem with its own HTTP status.
    pub fn new(status: u16, reason: impl Into<String>, detail: impl Into<String>) -> Self {
        let reason = reason.into();
        let (r#type, title) = (format!("/errors/{reason}"), title(&reason));
        Self { r#type, title, status, detail: detail.into(), reason, instance: String::new(), is_retryable: false }
    }

    /// Says that a repeat of the same request makes sense, or not.
    #[must_use]
    pub fn retryable(self, is_retryable: bool) -> Self {
        Self { is_retryable, ..self }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let kind = failure.kind;
        Self::new(kind.http_status(), failure.reason, failure.message).retryable(kind.is_retryable())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).expect("a problem is plain text");
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if self.is_retryable {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// `INVENTORY_UNKNOWN_SKU` is "Unknown SKU", `ORDER_EMPTY` is "Order empty": a service's name is left out where it says nothing.
fn title(reason: &str) -> String {
    let names = ["BFF_", "EDGE_", "INVENTORY_", "LINKS_", "PSP_"];
    let words = names.into_iter().find_map(|name| reason.strip_prefix(name)).unwrap_or(reason);
    let words = words.to_lowercase().replace('_', " ").replace("sku", "SKU").replace("psp", "PSP");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn a_failure_keeps_its_reason_and_takes_its_status_from_the_table() {
        for (kind, status) in [(Kind::NotFound, 404), (Kind::Refused, 422), (Kind::Conflict, 409), (Kind::Unavailable, 503)] {
            let problem = Problem::from(Failure::new(kind, "INVENTORY_UNKNOWN_SKU", "no such item"));
            assert_eq!((problem.status, problem.reason.as_str()), (status, "INVENTORY_UNKNOWN_SKU"));
            assert_eq!((problem.r#type.as_str(), problem.title.as_str()), ("/errors/INVENTORY_UNKNOWN_SKU", "Unknown SKU"));
        }
    }

    #[test]
    fn only_what_may_be_repeated_says_when() {
        let unavailable = Problem::from(Failure::new(Kind::Unavailable, "DEPENDENCY_UNAVAILABLE", "away")).into_response();
        assert_eq!(unavailable.headers()[header::RETRY_AFTER], "1");
        let conflict = Problem::from(Failure::new(Kind::Conflict, "ORDER_KEY_REUSED", "no")).into_response();
        assert!(!conflict.headers().contains_key(header::RETRY_AFTER));
    }
}
