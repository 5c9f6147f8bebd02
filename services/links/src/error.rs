//! What can go wrong.

use axum::response::{IntoResponse, Response};
use link::Unknown;
use rpc::{Kind, Problem};

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing is here.
    #[error("nothing is at this address; links are at /links, what is set of them at /shapes")]
    UnknownPath,
    /// Nothing answers this method here.
    #[error("this address does not take this method")]
    Method,
    /// The body cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// No such direction or protocol.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// It holds, until the next start.
    #[error("it is set now but could not be written down, so the next start will not know of it")]
    NotKept(#[source] std::io::Error),
}

impl Error {
    /// What a caller can decide on.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::UnknownPath | Self::Unknown(_) => Kind::NotFound,
            Self::Method | Self::Invalid(_) => Kind::Invalid,
            Self::NotKept(_) => Kind::Internal,
        }
    }

    fn status(&self) -> u16 {
        if matches!(self, Self::Method) { 405 } else { self.kind().http_status() }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::UnknownPath => "LINKS_UNKNOWN_PATH",
            Self::Method => "LINKS_METHOD_NOT_ALLOWED",
            Self::Invalid(_) => "LINKS_INVALID_REQUEST",
            Self::Unknown(_) => "LINKS_UNKNOWN_LINK",
            Self::NotKept(_) => "LINKS_NOT_KEPT",
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Self::NotKept(cause) = &self {
            tracing::error!(error = %cause, "cannot write down what was set");
        }
        Problem::new(self.status(), self.reason(), self.to_string()).retryable(self.kind().is_retryable()).into_response()
    }
}
