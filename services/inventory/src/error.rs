//! What can go wrong.

use rpc::{Failure, Kind};

use crate::domain::Refusal;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A field cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// Not a page token of ours.
    #[error("page_token is none that this service gave; leave it empty for the first page")]
    PageToken,
    /// The domain says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// This region may not write it now.
    #[error("this region does not hold the order's home at the moment, and did nothing; ask the other region, or again in a moment")]
    Fenced,
    /// A row cannot be read back.
    #[error("read {what} of {row} from the database")]
    Corrupt {
        /// Which row.
        row: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The database failed.
    #[error("use the database")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if store::region::is_fenced(&error) { Self::Fenced } else { Self::Database(error) }
    }
}

impl Error {
    /// Why, for those who are told by a value and not by an error.
    pub(crate) fn reason(&self) -> &'static str {
        self.kind().1
    }

    fn kind(&self) -> (Kind, &'static str) {
        match self {
            Self::Malformed(_) => (Kind::Invalid, "INVENTORY_INVALID_REQUEST"),
            Self::PageToken => (Kind::Invalid, "INVENTORY_INVALID_PAGE_TOKEN"),
            Self::Refused(refusal) => match refusal {
                Refusal::Invalid(_) => (Kind::Invalid, "INVENTORY_INVALID_REQUEST"),
                Refusal::UnknownSku(_) => (Kind::NotFound, "INVENTORY_UNKNOWN_SKU"),
                Refusal::OutOfStock(_) => (Kind::Refused, "INVENTORY_OUT_OF_STOCK"),
                Refusal::Released => (Kind::Refused, "INVENTORY_RESERVATION_RELEASED"),
                Refusal::Committed => (Kind::Refused, "INVENTORY_RESERVATION_COMMITTED"),
                Refusal::Missing => (Kind::NotFound, "INVENTORY_RESERVATION_NOT_FOUND"),
                Refusal::TransferDiffers => (Kind::Conflict, "INVENTORY_TRANSFER_DIFFERS"),
                Refusal::Differs => (Kind::Conflict, "INVENTORY_RESERVATION_DIFFERS"),
            },
            Self::Fenced => (Kind::Unavailable, store::region::FENCED_REASON),
            Self::Database(error) if store::is_unavailable(error) => (Kind::Unavailable, "DEPENDENCY_UNAVAILABLE"),
            Self::Corrupt { .. } | Self::Database(_) => (Kind::Internal, "INTERNAL"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (kind, reason) = error.kind();
        match &error {
            Error::Database(cause) => tracing::warn!(error = %cause, "database call failed"),
            Error::Corrupt { .. } => tracing::error!(%error, "row cannot be read"),
            _ => {}
        }
        Self::new(kind, reason, error.to_string())
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        Failure::from(error).into()
    }
}
