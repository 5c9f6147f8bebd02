//! What can go wrong.

use std::sync::Arc;

use rpc::{Failure, Kind};

use crate::domain::Refusal;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A field cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// The domain says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The key was used for another order.
    #[error("this idempotency key was used for an order with another body; use a new key for a new order")]
    KeyReused,
    /// A request with this key is still under way.
    #[error("a request with this idempotency key is still being answered; send it again in a moment")]
    KeyBusy,
    /// Another session placed the order.
    #[error("another session placed this order, and only that one may change it")]
    NotYours,
    /// The other region owns the order.
    #[error("the order is owned by region {0}: send the request there (header X-Region: {0})")]
    OtherRegion(ids::Region),
    /// This region may not write now.
    #[error("this region does not hold its home at the moment, and did nothing; ask the other region, or again in a moment")]
    Fenced,
    /// No such order here.
    #[error("there is no such order in this region; one placed in the other region a moment ago may still be on its way")]
    NotFound,
    /// A row cannot be read back.
    #[error("read order {order_id} from the database: {what}")]
    Corrupt {
        /// Which.
        order_id: uuid::Uuid,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The commit of a change was sent and its answer lost.
    #[error("it may or may not have been done; repeat the request with the same idempotency key")]
    CommitUnknown(#[source] Arc<sqlx::Error>),
    /// The database failed.
    #[error("use the database")]
    Database(#[source] Arc<sqlx::Error>),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if store::region::is_fenced(&error) { Self::Fenced } else { Self::Database(Arc::new(error)) }
    }
}

impl Error {
    fn kind(&self) -> (Kind, &'static str) {
        match self {
            Self::Malformed(_) | Self::Refused(Refusal::Invalid(_)) => (Kind::Invalid, "ORDER_INVALID_REQUEST"),
            Self::Refused(Refusal::Empty) => (Kind::Refused, "ORDER_EMPTY"),
            Self::Refused(Refusal::TooLate) => (Kind::Refused, "ORDER_TOO_LATE_TO_CANCEL"),
            Self::Refused(Refusal::NotShipped) => (Kind::Refused, "ORDER_NOT_SHIPPED"),
            Self::Refused(_) => (Kind::Refused, "ORDER_STATE"),
            Self::KeyBusy => (Kind::Conflict, "ORDER_KEY_BUSY"),
            Self::NotYours => (Kind::Refused, "ORDER_NOT_YOURS"),
            Self::OtherRegion(_) => (Kind::Refused, "ORDER_OTHER_REGION"),
            Self::KeyReused => (Kind::Conflict, "ORDER_KEY_REUSED"),
            Self::Fenced => (Kind::Unavailable, store::region::FENCED_REASON),
            Self::NotFound => (Kind::NotFound, "ORDER_NOT_FOUND"),
            Self::CommitUnknown(_) => (Kind::OutcomeUnknown, "ORDER_OUTCOME_UNKNOWN"),
            Self::Database(error) if store::is_unavailable(error) => (Kind::Unavailable, "DEPENDENCY_UNAVAILABLE"),
            Self::Corrupt { .. } | Self::Database(_) => (Kind::Internal, "INTERNAL"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (kind, reason) = error.kind();
        if let Error::Database(cause) | Error::CommitUnknown(cause) = &error {
            tracing::warn!(error = %cause, "database call failed");
        }
        Self::new(kind, reason, error.to_string())
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        Failure::from(error).into()
    }
}
