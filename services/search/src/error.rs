//! What can go wrong.

use std::path::PathBuf;

use rpc::{Failure, Kind};

/// Why the service or a call fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The words cannot be looked for.
    #[error("{0}")]
    Query(String),
    /// Not a page token of ours.
    #[error("page_token is none that this service gave; leave it empty for the first page")]
    PageToken,
    /// Another process has the folder.
    #[error("{} is in use by another search process; give each its own DATA_DIR", .0.display())]
    InUse(PathBuf),
    /// The folder cannot be used.
    #[error("use the folder {}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The index failed.
    #[error("use the index")]
    Index(#[from] tantivy::TantivyError),
    /// A search did not come to its end.
    #[error("search the index")]
    Aborted(#[source] tokio::task::JoinError),
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        let (kind, reason) = match &error {
            Error::Query(_) => (Kind::Invalid, "SEARCH_INVALID_QUERY"),
            Error::PageToken => (Kind::Invalid, "SEARCH_INVALID_PAGE_TOKEN"),
            Error::InUse(_) | Error::Folder { .. } | Error::Index(_) | Error::Aborted(_) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "search failed");
                (Kind::Internal, "INTERNAL")
            }
        };
        Failure::new(kind, reason, error.to_string()).into()
    }
}
