//! Names, help and label values of the service's own metrics.

use ids::Region;
use rpc::Kind;

use crate::{error::Error, health::Health};

const REQUESTS: &str = "market_edge_requests_total";
const HEALTHY: &str = "market_edge_region_healthy";
const OPEN: &str = "market_edge_region_open";
const RETRIES: &str = "market_edge_retries_total";

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A region answered.
    Answered,
    /// A region answered that it failed: 5xx.
    Failed,
    /// Nobody answered.
    Down,
    /// The answer to a write was lost.
    Unknown,
    /// The answer to a read did not come in time.
    Late,
    /// The request could not be passed on.
    Refused,
    /// Sent back with a region chosen.
    Redirected,
}

impl Outcome {
    const OF_REGIONS: [Self; 5] = [Self::Answered, Self::Failed, Self::Down, Self::Unknown, Self::Late];

    fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Down => "down",
            Self::Unknown => "unknown",
            Self::Late => "late",
            Self::Refused => "refused",
            Self::Redirected => "redirected",
        }
    }
}

impl From<&Error> for Outcome {
    fn from(error: &Error) -> Self {
        match error.kind() {
            Kind::OutcomeUnknown => Self::Unknown,
            Kind::Timeout => Self::Late,
            Kind::Unavailable => Self::Down,
            _ => Self::Refused,
        }
    }
}

/// Writes the help texts, and shows the counters from the first scrape on.
pub(crate) fn describe() {
    metrics::describe_counter!(REQUESTS, "Requests by the region that had them last and how they ended");
    metrics::describe_gauge!(HEALTHY, "1 for a region that can be sent requests");
    metrics::describe_gauge!(OPEN, "1 for a region that gets new shoppers: healthy, and neither fenced nor drained");
    metrics::describe_counter!(RETRIES, "Attempts after the first one of a request");
    metrics::counter!(RETRIES).absolute(0);
    for region in Region::ALL {
        set_health(region, Health::Unknown);
        for outcome in Outcome::OF_REGIONS {
            metrics::counter!(REQUESTS, "region" => region.as_str(), "outcome" => outcome.label()).absolute(0);
        }
    }
}

/// Counts a request; `region` is none when no region had it.
pub(crate) fn count_request(region: Option<Region>, outcome: Outcome) {
    metrics::counter!(REQUESTS, "region" => region.map_or("none", Region::as_str), "outcome" => outcome.label()).increment(1);
}

/// Counts an attempt after the first one.
pub(crate) fn count_retry() {
    metrics::counter!(RETRIES).increment(1);
}

/// Says how a region is.
pub(crate) fn set_health(region: Region, health: Health) {
    let claim = |is_so| if is_so { 1.0 } else { 0.0 };
    metrics::gauge!(HEALTHY, "region" => region.as_str()).set(claim(health.is_well()));
    metrics::gauge!(OPEN, "region" => region.as_str()).set(claim(health == Health::Healthy));
}
