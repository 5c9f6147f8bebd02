//! Names, help and label values of the service's own metrics.

use crate::domain::State;

const CHARGES: &str = "market_psp_charges_total";
const COMMITS: &str = "market_psp_commits_total";
const WEBHOOKS: &str = "market_psp_webhooks_total";
const ACCIDENTS: &str = "market_psp_accidents_total";

/// What was done to a request on purpose.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Accident {
    /// The provider was set to be down.
    Down,
    /// It was not done and not answered.
    Lost,
    /// It was done and not answered.
    Unanswered,
    /// It was done, and the answer broke off.
    Cut,
}

impl Accident {
    fn label(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Lost => "lost",
            Self::Unanswered => "unanswered",
            Self::Cut => "cut",
        }
    }
}

/// How an attempt to send a webhook ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attempt {
    /// Somebody took it.
    Delivered,
    /// Somebody took it once more.
    Repeated,
    /// It will be sent again.
    Failed,
    /// Nobody took it for too long.
    GivenUp,
}

impl Attempt {
    fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Repeated => "repeated",
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
    metrics::describe_counter!(ACCIDENTS, "Requests that met an accident that was set, by its kind");
    metrics::counter!(COMMITS).absolute(0);
    for accident in [Accident::Down, Accident::Lost, Accident::Unanswered, Accident::Cut] {
        metrics::counter!(ACCIDENTS, "kind" => accident.label()).absolute(0);
    }
    for state in State::ALL {
        metrics::counter!(CHARGES, "state" => state.as_str()).absolute(0);
    }
    for attempt in [Attempt::Delivered, Attempt::Repeated, Attempt::Failed, Attempt::GivenUp] {
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

/// Counts an accident.
pub(crate) fn count_accident(accident: Accident) {
    metrics::counter!(ACCIDENTS, "kind" => accident.label()).increment(1);
}

/// Counts an attempt to send a webhook.
pub(crate) fn count_webhook(attempt: Attempt) {
    metrics::counter!(WEBHOOKS, "outcome" => attempt.label()).increment(1);
}
