//! Errors on the wire: problem documents (RFC 9457), and the pages that their `type` points to.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::error::Error;

macro_rules! explained {
    ($($reason:literal),* $(,)?) => { [$(($reason, include_str!(concat!("../../../docs/errors/", $reason, ".md")))),*] };
}

/// Every reason with its page.
const PAGES: [(&str, &str); 14] = explained![
    "DEPENDENCY_UNAVAILABLE",
    "INTERNAL",
    "PSP_BODY_TOO_LARGE",
    "PSP_BUSY",
    "PSP_CHARGE_NOT_FOUND",
    "PSP_CHARGE_STATE",
    "PSP_CONTENT_TYPE",
    "PSP_INVALID_IDEMPOTENCY_KEY",
    "PSP_INVALID_REQUEST",
    "PSP_KEY_REUSED",
    "PSP_METHOD_NOT_ALLOWED",
    "PSP_OUTCOME_UNKNOWN",
    "PSP_UNKNOWN_PATH",
    "PSP_UNKNOWN_TOKEN",
];

/// The page of `reason`.
pub(crate) fn page(reason: &str) -> Option<&'static str> {
    PAGES.iter().find(|(name, _)| *name == reason).map(|(_, text)| *text)
}

/// A problem document.
#[derive(Debug, Serialize)]
struct Problem {
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    reason: &'static str,
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let reason = error.reason();
        Self { r#type: format!("/errors/{reason}"), title: title(reason), status: error.status(), detail: error.to_string(), reason }
    }
}

/// `PSP_KEY_REUSED` is "Key reused".
fn title(reason: &str) -> String {
    let words = reason.strip_prefix("PSP_").unwrap_or(reason).to_lowercase().replace('_', " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Self::Read(cause) = &self {
            tracing::error!(error = %cause, "store cannot be read");
        } else if self.status() >= 500 {
            tracing::warn!(reason = self.reason(), error = %self, "request failed");
        }
        let problem = Problem::from(&self);
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&problem).expect("a problem is plain text");
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if self.kind().is_retryable() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_points_to_a_page() {
        for error in [
            Error::UnknownPath,
            Error::Method,
            Error::ContentType,
            Error::BodyTooLarge { limit: 1 },
            Error::Invalid(String::new()),
            Error::Key,
            Error::UnknownToken,
            Error::KeyReused,
            Error::NoCharge(String::new()),
            Error::Busy,
            Error::OutcomeUnknown,
            Error::Fault,
        ] {
            let problem = Problem::from(&error);
            let text = page(problem.reason).unwrap();
            assert!(text.starts_with(&format!("# {}", problem.reason)));
            assert!(text.contains(&format!("HTTP status: {}", problem.status)), "{text}");
        }
    }
}
