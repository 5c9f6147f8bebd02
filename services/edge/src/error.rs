//! What can go wrong.

use std::time::Duration;

use ids::Region;
use rpc::Kind;

/// Why a request is not answered by a region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// A region that is none.
    #[error("the region must be 'eu' or 'us', in X-Region as well as in ?region=")]
    UnknownRegion,
    /// The request breaks a rule of HTTP or a limit of ours.
    #[error("the request cannot be passed on: {0}")]
    Invalid(&'static str),
    /// A body over the limit.
    #[error("the body must be at most {limit} bytes")]
    BodyTooLarge {
        /// Bytes.
        limit: usize,
    },
    /// Nobody answers.
    #[error("{}", down(*.pinned))]
    RegionDown {
        /// The one region that was asked for, if one was.
        pinned: Option<Region>,
    },
    /// The answer to a write was lost.
    #[error("{}", unknown(*.region, *.has_key))]
    OutcomeUnknown {
        /// Where it may have been done.
        region: Region,
        /// Whether a repeat is recognised.
        has_key: bool,
    },
    /// The answer to a read did not come.
    #[error("region {region} did not answer within {limit:?}")]
    Timeout {
        /// Which.
        region: Region,
        /// How long it had.
        limit: Duration,
    },
}

fn down(pinned: Option<Region>) -> String {
    match pinned {
        Some(region) => format!("region {region} is down; send the request again later, or without X-Region to let another region answer"),
        None => "no region answers; send the request again after a second".to_owned(),
    }
}

fn unknown(region: Region, has_key: bool) -> String {
    let what = format!("region {region} does not answer, and may have done the request");
    if has_key {
        format!("{what}; send it again with the same Idempotency-Key, and it is done once")
    } else {
        format!("{what}; look there, with X-Region: {region}, before you send it again")
    }
}

impl Error {
    /// What a caller can decide on.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::UnknownRegion | Self::Invalid(_) | Self::BodyTooLarge { .. } => Kind::Invalid,
            Self::RegionDown { .. } => Kind::Unavailable,
            Self::OutcomeUnknown { .. } => Kind::OutcomeUnknown,
            Self::Timeout { .. } => Kind::Timeout,
        }
    }

    /// HTTP has a code of its own for large bodies; for all else the one table of `rpc` holds.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::BodyTooLarge { .. } => 413,
            error => error.kind().http_status(),
        }
    }

    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::UnknownRegion => "EDGE_UNKNOWN_REGION",
            Self::Invalid(_) => "EDGE_INVALID_REQUEST",
            Self::BodyTooLarge { .. } => "EDGE_BODY_TOO_LARGE",
            Self::RegionDown { .. } => "EDGE_REGION_DOWN",
            Self::OutcomeUnknown { .. } => "EDGE_OUTCOME_UNKNOWN",
            Self::Timeout { .. } => "DEADLINE_EXCEEDED",
        }
    }

    /// The region that had the request and may have done it.
    pub(crate) fn had_by(&self) -> Option<Region> {
        match *self {
            Self::OutcomeUnknown { region, .. } | Self::Timeout { region, .. } => Some(region),
            _ => None,
        }
    }

    /// The region that counts for it.
    pub(crate) fn region(&self) -> Option<Region> {
        match *self {
            Self::RegionDown { pinned } => pinned,
            _ => self.had_by(),
        }
    }
}
