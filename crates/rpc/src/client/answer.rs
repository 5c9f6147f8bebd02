//! What a try came to.

use std::time::Duration;

use http::{HeaderMap, Response};
use http_body_util::Collected;
use tonic::{Code, Status, body::Body, codegen::Bytes};

/// A server's word on the next try, milliseconds; negative: none. As in gRPC.
pub(crate) const PUSHBACK: &str = "grpc-retry-pushback-ms";
const STATUS: &str = "grpc-status";
const DETAILS: &str = "grpc-status-details-bin";

/// How a try ended: an answer of the server, whatever it says, or none.
#[expect(clippy::large_enum_variant, reason = "nearly all are said")]
pub(super) enum Answer {
    Said { head: http::response::Parts, body: Collected<Bytes>, code: Code },
    Lost(Status),
}

/// What a server says of the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushback {
    None,
    After(Duration),
    Never,
}

impl Answer {
    pub(super) fn said(head: http::response::Parts, body: Collected<Bytes>) -> Self {
        let code = |headers: &HeaderMap| headers.get(STATUS).map(|code| Code::from_bytes(code.as_bytes()));
        let said = body.trailers().and_then(code).or_else(|| code(&head.headers));
        // Without a status it is no gRPC server, or its answer was cut short; tonic finds words for that.
        Self::Said { code: said.unwrap_or(Code::Unknown), head, body }
    }

    pub(super) fn code(&self) -> Code {
        match self {
            Self::Said { code, .. } => *code,
            Self::Lost(status) => status.code(),
        }
    }

    /// Whether a service of ours answered in its own words: it is there, and knows what it says. Such a refusal is repeated only if it says so.
    fn is_in_own_words(&self) -> bool {
        self.header(DETAILS).is_some()
    }

    /// Whether it speaks for the endpoint: it is alive and did its work.
    pub(super) fn is_healthy(&self) -> bool {
        match self.code() {
            Code::Unavailable => self.is_in_own_words(),
            Code::DeadlineExceeded | Code::Internal | Code::Unknown | Code::DataLoss => false,
            _ => true,
        }
    }

    /// Whether nothing can have been done, because nothing was sent.
    pub(super) fn was_never_sent(&self) -> bool {
        let Self::Lost(status) = self else { return false };
        let mut cause = std::error::Error::source(status);
        while let Some(error) = cause {
            if error.is::<tonic::ConnectError>() {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// Whether it may be asked again, as far as its code goes.
    pub(super) fn is_retryable(&self, codes: &[Code]) -> bool {
        codes.contains(&self.code()) && (!self.is_in_own_words() || matches!(self.pushback(), Pushback::After(_)))
    }

    pub(super) fn pushback(&self) -> Pushback {
        let Some(text) = self.header(PUSHBACK) else { return Pushback::None };
        // What cannot be read means never, as in gRPC.
        text.to_str()
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
            .map_or(Pushback::Never, |ms| Pushback::After(Duration::from_millis(ms)))
    }

    fn header(&self, name: &str) -> Option<&http::HeaderValue> {
        match self {
            Self::Said { head, body, .. } => body.trailers().and_then(|trailers| trailers.get(name)).or_else(|| head.headers.get(name)),
            Self::Lost(status) => status.metadata().as_ref().get(name),
        }
    }

    pub(super) fn into_result(self) -> Result<Response<Body>, Status> {
        match self {
            Self::Said { head, body, .. } => Ok(Response::from_parts(head, Body::new(body))),
            Self::Lost(status) => Err(status),
        }
    }
}
