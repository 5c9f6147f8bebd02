//! Names, help and label values of the service's own metrics.

use crate::domain::{Payment, State};

const CHANGES: &str = "market_payment_changes_total";
const PSP_CALLS: &str = "market_payment_psp_calls_total";
const CONTRADICTIONS: &str = "market_payment_contradictions_total";
const WEBHOOKS: &str = "market_payment_webhooks_total";

/// How the provider answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// It said how the charge stands.
    Charge,
    /// It could not be reached.
    Unavailable,
    /// It was asked, and nobody knows.
    Unknown,
}

impl Answer {
    fn label(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
        }
    }
}

/// Writes the help texts, and shows the counters from the first scrape on.
pub(crate) fn describe() {
    metrics::describe_counter!(CHANGES, "Payments that reached a state");
    metrics::describe_counter!(PSP_CALLS, "Calls of the payment provider, by how they ended");
    metrics::describe_counter!(CONTRADICTIONS, "Charges that cannot be what the payment is; each is a broken promise PAY-2");
    metrics::describe_counter!(WEBHOOKS, "Webhooks, by whether they were taken");
    for state in State::ALL {
        metrics::counter!(CHANGES, "state" => state.as_str()).absolute(0);
    }
    for answer in [Answer::Charge, Answer::Unavailable, Answer::Unknown] {
        metrics::counter!(PSP_CALLS, "answer" => answer.label()).absolute(0);
    }
    for taken in [true, false] {
        metrics::counter!(WEBHOOKS, "taken" => taken.to_string()).absolute(0);
    }
    metrics::counter!(CONTRADICTIONS).absolute(0);
}

/// Counts what has been committed.
pub(crate) fn count(changes: &[Payment]) {
    for change in changes {
        metrics::counter!(CHANGES, "state" => change.state.as_str()).increment(1);
    }
}

/// Counts a call of the provider.
pub(crate) fn count_call(answer: Answer) {
    metrics::counter!(PSP_CALLS, "answer" => answer.label()).increment(1);
}

/// Counts a contradiction.
pub(crate) fn count_contradiction() {
    metrics::counter!(CONTRADICTIONS).increment(1);
}

/// Counts a webhook.
pub(crate) fn count_webhook(taken: bool) {
    metrics::counter!(WEBHOOKS, "taken" => taken.to_string()).increment(1);
}
