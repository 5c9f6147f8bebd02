//! What can go wrong.

use ids::Region;
use rpc::{Failure, Kind};

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A field cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// The holder is gone, and may have had more.
    #[error(
        "take over {0}: its holder is gone and worked alone, so it may have orders that are nowhere else; wait for it, or force it and lose them"
    )]
    MayLose(Region),
    /// Not held here, so it cannot be handed over from here.
    #[error("hand over {0}: it is not held here")]
    NotHolder(Region),
    /// It did not come about in time.
    #[error("move {0}: not within {1} s; nothing is lost, the region that held it goes on: see backbone region status")]
    NotMoved(Region, u64),
    /// Nobody has held it yet, or the coordinator does not answer.
    #[error("read how {0} stands: the coordinator has not said it yet")]
    Unknown(Region),
    /// The coordinator cannot be used.
    #[error("tell the coordinator: {0}")]
    Coordinator(#[from] lease::Error),
    /// The database failed.
    #[error("use the database")]
    Database(#[from] sqlx::Error),
    /// The other region does not do it.
    #[error("ask the other region: {0}")]
    Peer(String),
}

impl Error {
    fn kind(&self) -> (Kind, &'static str) {
        match self {
            Self::Malformed(_) => (Kind::Invalid, "REGION_INVALID_REQUEST"),
            Self::MayLose(_) => (Kind::Refused, "REGION_MAY_LOSE"),
            Self::NotHolder(_) => (Kind::Refused, "REGION_NOT_HOLDER"),
            Self::NotMoved(..) => (Kind::Unavailable, "REGION_NOT_MOVED"),
            Self::Unknown(_) | Self::Coordinator(_) | Self::Peer(_) => (Kind::Unavailable, "DEPENDENCY_UNAVAILABLE"),
            Self::Database(error) if ::store::is_unavailable(error) => (Kind::Unavailable, "DEPENDENCY_UNAVAILABLE"),
            Self::Database(_) => (Kind::Internal, "INTERNAL"),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        let (kind, reason) = error.kind();
        if let Error::Database(cause) = &error {
            tracing::warn!(error = %cause, "database call failed");
        }
        Failure::new(kind, reason, error.to_string()).into()
    }
}
