//! What can go wrong.

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
    /// The key was used for another change.
    #[error("this idempotency key was used for another change of this cart; use a new key for a new change")]
    KeyReused,
    /// A cart cannot be read back.
    #[error("read cart {cart_id} from the database")]
    Corrupt {
        /// Which.
        cart_id: String,
        /// What is wrong with it.
        #[source]
        error: crdt::codec::Malformed,
    },
    /// The answer kept for a key cannot be read back.
    #[error("read an answer about cart {0} from the database")]
    Answer(String),
    /// The database holds an id that is none.
    #[error("read {0} from the database: it is no id")]
    Id(String),
    /// The database failed.
    #[error("use the database")]
    Database(#[from] sqlx::Error),
}

impl Error {
    fn kind(&self) -> (Kind, &'static str) {
        match self {
            Self::Malformed(_) => (Kind::Invalid, "CART_INVALID_REQUEST"),
            Self::Refused(Refusal::Quantity) => (Kind::Invalid, "CART_INVALID_QUANTITY"),
            Self::Refused(Refusal::Itself) => (Kind::Invalid, "CART_INVALID_REQUEST"),
            Self::Refused(Refusal::Full) => (Kind::Refused, "CART_FULL"),
            Self::KeyReused => (Kind::Conflict, "CART_KEY_REUSED"),
            Self::Database(error) if store::is_unavailable(error) => (Kind::Unavailable, "DEPENDENCY_UNAVAILABLE"),
            Self::Corrupt { .. } | Self::Answer(_) | Self::Id(_) | Self::Database(_) => (Kind::Internal, "INTERNAL"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (kind, reason) = error.kind();
        match &error {
            Error::Database(cause) => tracing::warn!(error = %cause, "database call failed"),
            Error::Corrupt { .. } | Error::Answer(_) | Error::Id(_) => tracing::error!(%error, "row cannot be read"),
            _ => {}
        }
        Self::new(kind, reason, error.to_string())
    }
}

impl From<Error> for spine::Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => Self::Poison(refusal.to_string()),
            Error::Database(error) => error.into(),
            error => Self::Failed(std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        Failure::from(error).into()
    }
}
