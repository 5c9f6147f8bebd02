//! Names, help and label values of the service's own metrics.

use crate::domain::State;

const CHARGES: &str = "market_psp_charges_total";
const COMMITS: &str = "market_psp_commits_total";
const WEBHOOKS: &str = "market_psp_webhooks_total";

/// How an attempt to send a webhook ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attempt {
    /// Somebody took it.
    Delivered,
    /// It will be sent again.
    Failed,
    /// Nobody took it for too long.
    GivenUp,
}

impl Attempt {
    fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
        }
    }
}

/// Writes the help texts, and shows the counters from the first scrape on.
pub(crate) fn describe() {
    metrics::describe_counter!(CHARGES, "Charges by the state they came to");
    metrics::describe_counter!(COMMITS, "Commits of the store; each may carry many requests");
    metrics::describe_counter!(WEBHOOKS, "Attempts to send webhooks, by how they ended");
    metrics::counter!(COMMITS).absolute(0);
    for state in State::ALL {
        metrics::counter!(CHARGES, "state" => state.as_str()).absolute(0);
    }
    for attempt in [Attempt::Delivered, Attempt::Failed, Attempt::GivenUp] {
        metrics::counter!(WEBHOOKS, "outcome" => attempt.label()).absolute(0);
    }
}

/// Counts a charge that came to a state.
pub(crate) fn count_charge(state: State) {
    metrics::counter!(CHARGES, "state" => state.as_str()).increment(1);
}

/// Counts a commit.
pub(crate) fn count_commit() {
    metrics::counter!(COMMITS).increment(1);
}

/// Counts an attempt to send a webhook.
pub(crate) fn count_webhook(attempt: Attempt) {
    metrics::counter!(WEBHOOKS, "outcome" => attempt.label()).increment(1);
}
