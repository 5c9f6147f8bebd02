//! What went wrong, in one closed list, and the one table that maps it to the wire.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Domain of the `google.rpc.ErrorInfo` that every failure carries.
const DOMAIN: &str = "market.backbone";

/// What a caller can decide on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is malformed; a repeat fails the same way.
    Invalid,
    /// What was named does not exist.
    NotFound,
    /// The request contradicts what was done before.
    Conflict,
    /// The domain says no, e.g. out of stock.
    Refused,
    /// A limit is reached; later may work.
    Exhausted,
    /// A part that is needed is away; nothing was done.
    Unavailable,
    /// The time was up.
    Timeout,
    /// It may or may not have been done; repeat with the same idempotency key.
    OutcomeUnknown,
    /// A fault of ours.
    Internal,
}

/// kind, gRPC code, HTTP code, whether a repeat with the same idempotency key makes sense.
const TABLE: [(Kind, Code, u16, bool); 9] = [
    (Kind::Invalid, Code::InvalidArgument, 400, false),
    (Kind::NotFound, Code::NotFound, 404, false),
    (Kind::Conflict, Code::AlreadyExists, 409, false),
    (Kind::Refused, Code::FailedPrecondition, 422, false),
    (Kind::Exhausted, Code::ResourceExhausted, 429, true),
    (Kind::Unavailable, Code::Unavailable, 503, true),
    (Kind::Timeout, Code::DeadlineExceeded, 504, true),
    (Kind::OutcomeUnknown, Code::Aborted, 503, true),
    (Kind::Internal, Code::Internal, 500, false),
];

impl Kind {
    fn row(self) -> &'static (Self, Code, u16, bool) {
        TABLE.iter().find(|row| row.0 == self).expect("the table has every kind")
    }

    /// The gRPC code on the wire.
    #[must_use]
    pub fn code(self) -> Code {
        self.row().1
    }

    /// The HTTP status at the edge.
    #[must_use]
    pub fn http_status(self) -> u16 {
        self.row().2
    }

    /// Whether a repeat with the same idempotency key makes sense.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        self.row().3
    }

    /// The kind behind a gRPC code; codes that none of ours uses are read as their nearest kind.
    #[must_use]
    pub fn of_code(code: Code) -> Self {
        match code {
            Code::OutOfRange | Code::Unimplemented => Self::Invalid,
            Code::Cancelled => Self::Timeout,
            code => TABLE.iter().find(|row| row.1 == code).map_or(Self::Internal, |row| row.0),
        }
    }
}

/// A failure with its reason, as it crosses a service's border.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What the caller can decide on.
    pub kind: Kind,
    /// `UPPER_SNAKE` reason with a page in `docs/errors/`.
    pub reason: String,
    /// For people: what was attempted and what to do.
    pub message: String,
}

impl Failure {
    /// A failure of `kind` for `reason`.
    pub fn new(kind: Kind, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), message: message.into() }
    }

    /// A malformed request.
    pub fn invalid(reason: impl Into<String>, message: impl std::fmt::Display) -> Self {
        Self::new(Kind::Invalid, reason, message.to_string())
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let details = ErrorDetails::with_error_info(failure.reason, DOMAIN, std::collections::HashMap::new());
        Self::with_error_details(failure.kind.code(), failure.message, details)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let kind = Kind::of_code(status.code());
        let message = status.message().to_owned();
        if let Some(info) = status.get_details_error_info().filter(|info| info.domain == DOMAIN) {
            return Self { kind, reason: info.reason, message };
        }
        // Not in our words, so from a proxy, a library or a broken connection: it cannot be the domain's "no".
        let (kind, reason) = match kind {
            Kind::Unavailable => (kind, "DEPENDENCY_UNAVAILABLE"),
            Kind::Timeout => (kind, "DEADLINE_EXCEEDED"),
            Kind::Exhausted | Kind::OutcomeUnknown => (kind, "INTERNAL"),
            _ => (Kind::Internal, "INTERNAL"),
        };
        Self::new(kind, reason, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_crosses_the_wire_whole() {
        for (kind, ..) in TABLE {
            let failure = Failure::new(kind, "ORDER_KEY_REUSED", "the key was used");
            assert_eq!(Failure::from(Status::from(failure.clone())), failure);
        }
    }

    #[test]
    fn a_foreign_status_gets_a_reason() {
        let failure = Failure::from(Status::unavailable("tcp connect error"));
        assert_eq!((failure.kind, failure.reason.as_str()), (Kind::Unavailable, "DEPENDENCY_UNAVAILABLE"));
        for status in [Status::not_found("no route"), Status::unimplemented("no method"), Status::failed_precondition("?")] {
            assert_eq!(Failure::from(status).kind, Kind::Internal, "a stranger's refusal is not the domain's");
        }
    }
}
