//! Errors on the wire: problem documents (RFC 9457), and the pages that their `type` points to.

use axum::response::{IntoResponse, Response};
use rpc::Problem;

use crate::error::Error;

macro_rules! explained {
    ($($reason:literal),* $(,)?) => { [$(($reason, include_str!(concat!("../../../docs/errors/", $reason, ".md")))),*] };
}

/// Every reason with its page.
const PAGES: [(&str, &str); 17] = explained![
    "DEPENDENCY_UNAVAILABLE",
    "INTERNAL",
    "PSP_BODY_TOO_LARGE",
    "PSP_BUSY",
    "PSP_CHARGE_NOT_FOUND",
    "PSP_CHARGE_STATE",
    "PSP_CONTENT_TYPE",
    "PSP_DOWN",
    "PSP_INVALID_IDEMPOTENCY_KEY",
    "PSP_INVALID_REQUEST",
    "PSP_KEY_REUSED",
    "PSP_METHOD_NOT_ALLOWED",
    "PSP_OUTCOME_UNKNOWN",
    "PSP_REFUND_TOO_LARGE",
    "PSP_TOO_MANY_REFUNDS",
    "PSP_UNKNOWN_PATH",
    "PSP_UNKNOWN_TOKEN",
];

/// The page of `reason`.
pub(crate) fn page(reason: &str) -> Option<&'static str> {
    PAGES.iter().find(|(name, _)| *name == reason).map(|(_, text)| *text)
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        Self::new(error.status(), error.reason(), error.to_string()).retryable(error.kind().is_retryable())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Self::Read(cause) = &self {
            tracing::error!(error = %cause, "store cannot be read");
        } else if self.status() >= 500 {
            tracing::warn!(reason = self.reason(), error = %self, "request failed");
        }
        Problem::from(&self).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Refusal, State};

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
            Error::Refused(Refusal::State { id: String::new(), state: State::Voided, command: "capture" }),
            Error::Refused(Refusal::KeyReused),
            Error::Refused(Refusal::TooMuch { id: String::new(), asked: 2, left: 1 }),
            Error::Refused(Refusal::TooMany { id: String::new() }),
            Error::Down,
            Error::Busy,
            Error::OutcomeUnknown,
            Error::Fault,
        ] {
            let problem = Problem::from(&error);
            let text = page(&problem.reason).unwrap();
            assert!(text.starts_with(&format!("# {}", problem.reason)));
            assert!(text.contains(&format!("HTTP status: {}", problem.status)), "{text}");
        }
    }
}
