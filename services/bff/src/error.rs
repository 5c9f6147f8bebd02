//! What can go wrong.

use axum::http::{HeaderName, HeaderValue};
use rpc::{Failure, Kind};
use tonic::{Status, metadata::MetadataMap};

/// Reason of a region that may not write what it was asked to: nothing was done, and the other region may be asked.
const REGION_FENCED: &str = "REGION_FENCED";
/// Goes with every answer of that reason, so that the edge need not read it.
const X_REGION_FENCED: HeaderName = HeaderName::from_static("x-region-fenced");

/// Why a request is not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// No such page.
    #[error("nothing is at this address; /api/openapi.json lists what programs can call")]
    UnknownPath,
    /// The address exists, the method does not.
    #[error("this address does not answer that method; the header Allow lists those it does")]
    Method,
    /// Not JSON where JSON is needed, or not a form, or not gRPC.
    #[error("the content type must be {0}")]
    ContentType(&'static str),
    /// A body over the limit.
    #[error("the body must be at most {limit} bytes")]
    BodyTooLarge {
        /// Bytes.
        limit: usize,
    },
    /// A body that cannot be read.
    #[error("the body cannot be read: {0}")]
    Body(String),
    /// `X-Session` that is no session.
    #[error("X-Session: {0}")]
    Session(ids::InvalidId),
    /// A name or a passphrase that cannot be used.
    #[error("{field} {what}")]
    SignIn {
        /// Which.
        field: &'static str,
        /// What it must be.
        what: &'static str,
    },
    /// An order without a key.
    #[error("the header Idempotency-Key is required, so that a repeat does nothing twice")]
    KeyRequired,
    /// A key that is none.
    #[error("Idempotency-Key: {0}")]
    Key(ids::InvalidId),
    /// Not a number of units.
    #[error("quantity must be a whole number from 1 to {}; to take a line out, remove it", crate::input::MAX_QUANTITY)]
    Quantity,
    /// Not a page size.
    #[error("page_size must be a whole number from 1 to {}", crate::input::MAX_PAGE)]
    PageSize,
    /// A field of the address that cannot be used.
    #[error("address.{field} {what}")]
    Address {
        /// Which.
        field: &'static str,
        /// What it must be.
        what: &'static str,
    },
    /// A card that the shop does not know.
    #[error("payment_token must be one of tok_visa, tok_mastercard, tok_decline and tok_3ds")]
    PaymentToken,
    /// Too many pages follow their orders and carts.
    #[error("too many orders and carts are being followed; read it now and then instead")]
    TooManyStreams,
    /// A gRPC method that is not for shoppers.
    #[error("{0} is not for shoppers")]
    NotPublic(String),
    /// The answer to an order, its cancel or its return was lost.
    #[error("the answer was lost, it may have been done; send it again with the same key")]
    OutcomeUnknown,
    /// A service behind says so.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl Error {
    /// What a caller can decide on.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::UnknownPath => Kind::NotFound,
            Self::NotPublic(_) => Kind::Refused,
            Self::TooManyStreams => Kind::Exhausted,
            Self::OutcomeUnknown => Kind::OutcomeUnknown,
            Self::Failed(failure) => failure.kind,
            _ => Kind::Invalid,
        }
    }

    /// HTTP has codes of its own for what is wrong with a request as such; for all else the one table of `rpc` holds.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Method => 405,
            Self::BodyTooLarge { .. } => 413,
            Self::ContentType(_) => 415,
            error => error.kind().http_status(),
        }
    }

    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::UnknownPath => "BFF_UNKNOWN_PATH",
            Self::Method => "BFF_METHOD_NOT_ALLOWED",
            Self::ContentType(_) => "BFF_CONTENT_TYPE",
            Self::BodyTooLarge { .. } => "BFF_BODY_TOO_LARGE",
            Self::Body(_) => "BFF_INVALID_BODY",
            Self::Session(_) => "BFF_INVALID_SESSION",
            Self::SignIn { .. } => "BFF_INVALID_SIGN_IN",
            Self::KeyRequired => "BFF_IDEMPOTENCY_KEY_REQUIRED",
            Self::Key(_) => "BFF_INVALID_IDEMPOTENCY_KEY",
            Self::Quantity => "BFF_INVALID_QUANTITY",
            Self::PageSize => "BFF_INVALID_PAGE_SIZE",
            Self::Address { .. } => "BFF_INVALID_ADDRESS",
            Self::PaymentToken => "BFF_UNKNOWN_PAYMENT_TOKEN",
            Self::TooManyStreams => "BFF_TOO_MANY_STREAMS",
            Self::NotPublic(_) => "BFF_METHOD_NOT_PUBLIC",
            Self::OutcomeUnknown => "BFF_OUTCOME_UNKNOWN",
            Self::Failed(failure) => &failure.reason,
        }
    }

    /// The header that tells the edge that nothing was done here, and may be elsewhere.
    pub(crate) fn fence(&self) -> Option<(HeaderName, HeaderValue)> {
        let is_fenced = matches!(self, Self::Failed(failure) if failure.kind == Kind::Unavailable && failure.reason == REGION_FENCED);
        is_fenced.then(|| (X_REGION_FENCED, HeaderValue::from_static("1")))
    }

    /// Whether a part behind is away.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self.kind(), Kind::Unavailable | Kind::Timeout)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Failed(failure) => failure,
            error => Self::new(error.kind(), error.reason(), error.to_string()),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let fence = error.fence();
        let mut status = Self::from(Failure::from(error));
        if let Some((name, value)) = fence {
            let mut headers = std::mem::take(status.metadata_mut()).into_headers();
            headers.insert(name, value);
            *status.metadata_mut() = MetadataMap::from_headers(headers);
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{
        body::Body,
        http::{Response, header},
        response::IntoResponse as _,
    };

    fn fenced(kind: Kind) -> Error {
        Failure::new(kind, REGION_FENCED, "eu does not hold this home").into()
    }

    #[test]
    fn a_fenced_region_says_so_in_a_header() {
        let response = fenced(Kind::Unavailable).into_response();
        assert_eq!((response.status().as_u16(), &response.headers()[X_REGION_FENCED]), (503, &HeaderValue::from_static("1")));
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        let call: Response<Body> = Status::from(fenced(Kind::Unavailable)).into_http();
        assert_eq!(
            (&call.headers()["grpc-status"], &call.headers()[X_REGION_FENCED]),
            (&HeaderValue::from_static("14"), &HeaderValue::from_static("1"))
        );
    }

    #[test]
    fn what_may_have_been_done_does_not_say_so() {
        let unknown =
            [Error::OutcomeUnknown, fenced(Kind::OutcomeUnknown), Failure::new(Kind::Unavailable, "DEPENDENCY_UNAVAILABLE", "").into()];
        for error in unknown {
            assert!(!error.clone().into_response().headers().contains_key(X_REGION_FENCED));
            assert!(!Status::from(error).metadata().contains_key(X_REGION_FENCED.as_str()));
        }
    }
}
