//! What can go wrong.

use std::path::PathBuf;

use rpc::Kind;

use crate::domain::Refusal;

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing is here.
    #[error("nothing is at this address; charges are at /v1/charges")]
    UnknownPath,
    /// Nothing answers this method here.
    #[error("this address does not take this method")]
    Method,
    /// Not JSON.
    #[error("send the body as application/json")]
    ContentType,
    /// Too much.
    #[error("the body has more than {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A body, a query or a field cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// The key is missing or cannot be used.
    #[error("send one header Idempotency-Key of 1 to 255 visible ASCII characters")]
    Key,
    /// No card has this token.
    #[error("no card has this token; known are tok_visa, tok_mastercard, tok_decline and tok_3ds")]
    UnknownToken,
    /// The key belongs to another request.
    #[error("this idempotency key was used for another request; use a new key for a new request")]
    KeyReused,
    /// No such charge.
    #[error("there is no charge {0}")]
    NoCharge(String),
    /// The domain says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is set to be so.
    #[error("the provider is down and nothing was done; try again")]
    Down,
    /// Too much waits for the disk, or nothing is taken any more.
    #[error("the provider takes no more at the moment and nothing was done; try again")]
    Busy,
    /// The commit's end was not seen.
    #[error("it may or may not have been done; repeat it with the same idempotency key")]
    OutcomeUnknown,
    /// Nothing could be read.
    #[error("the store cannot be read now; try again")]
    Read(#[source] Box<redb::Error>),
    /// A fault of ours.
    #[error("a fault of the provider; the log says more")]
    Fault,
}

impl Error {
    /// What a caller can decide on.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::UnknownPath | Self::NoCharge(_) => Kind::NotFound,
            Self::KeyReused | Self::Refused(Refusal::State { .. } | Refusal::KeyReused) => Kind::Conflict,
            Self::Refused(Refusal::TooMuch { .. } | Refusal::TooMany { .. }) => Kind::Refused,
            Self::OutcomeUnknown => Kind::OutcomeUnknown,
            Self::Busy | Self::Down | Self::Read(_) => Kind::Unavailable,
            Self::Fault => Kind::Internal,
            _ => Kind::Invalid,
        }
    }

    /// HTTP has codes of its own for what is wrong with a request as such; for all else the one table of `rpc` holds.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Method => 405,
            Self::BodyTooLarge { .. } => 413,
            Self::ContentType => 415,
            error => error.kind().http_status(),
        }
    }

    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::UnknownPath => "PSP_UNKNOWN_PATH",
            Self::Method => "PSP_METHOD_NOT_ALLOWED",
            Self::ContentType => "PSP_CONTENT_TYPE",
            Self::BodyTooLarge { .. } => "PSP_BODY_TOO_LARGE",
            Self::Invalid(_) => "PSP_INVALID_REQUEST",
            Self::Key => "PSP_INVALID_IDEMPOTENCY_KEY",
            Self::UnknownToken => "PSP_UNKNOWN_TOKEN",
            Self::KeyReused | Self::Refused(Refusal::KeyReused) => "PSP_KEY_REUSED",
            Self::NoCharge(_) => "PSP_CHARGE_NOT_FOUND",
            Self::Refused(Refusal::State { .. }) => "PSP_CHARGE_STATE",
            Self::Refused(Refusal::TooMuch { .. }) => "PSP_REFUND_TOO_LARGE",
            Self::Refused(Refusal::TooMany { .. }) => "PSP_TOO_MANY_REFUNDS",
            Self::Down => "PSP_DOWN",
            Self::Busy => "PSP_BUSY",
            Self::OutcomeUnknown => "PSP_OUTCOME_UNKNOWN",
            Self::Read(_) => "DEPENDENCY_UNAVAILABLE",
            Self::Fault => "INTERNAL",
        }
    }
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The folder cannot be used.
    #[error("make the folder {}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process has the file.
    #[error("{} is in use by another process; give each provider its own DATA_DIR", .0.display())]
    InUse(PathBuf),
    /// The file cannot be used.
    #[error("open the store {}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: redb::Error,
    },
}
