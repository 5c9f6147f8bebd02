//! Names, help and label values of the service's own metrics.

use crate::{
    domain::{Change, Intent, State},
    reconcile::Difference,
    store::Heard,
    workflow::Kind,
};

const CHANGES: &str = "market_payment_changes_total";
const PSP_CALLS: &str = "market_payment_psp_calls_total";
const CONTRADICTIONS: &str = "market_payment_contradictions_total";
const WEBHOOKS: &str = "market_payment_webhooks_total";
const RECONCILIATIONS: &str = "market_payment_reconciliations_total";
const DIFFERENCES: &str = "market_payment_differences_total";
const WORKFLOWS: &str = "market_payment_workflows_total";
const OPEN: &str = "market_payment_open_intents";
/// What may become of a webhook.
const TAKEN: [Option<Heard>; 4] = [Some(Heard::News), Some(Heard::OldNews), Some(Heard::Repeat), None];

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
    metrics::describe_counter!(WEBHOOKS, "Webhooks, by what became of them");
    for state in State::ALL {
        metrics::counter!(CHANGES, "state" => state.as_str()).absolute(0);
    }
    for answer in [Answer::Charge, Answer::Unavailable, Answer::Unknown] {
        metrics::counter!(PSP_CALLS, "answer" => answer.label()).absolute(0);
    }
    for heard in TAKEN {
        metrics::counter!(WEBHOOKS, "outcome" => label(heard)).absolute(0);
    }
    metrics::describe_counter!(RECONCILIATIONS, "Comparisons of a day with the payment provider's list");
    metrics::describe_counter!(
        DIFFERENCES,
        "Movements that differed from the provider's list; each that is not resolved is a broken promise PAY-2"
    );
    metrics::counter!(RECONCILIATIONS).absolute(0);
    for is_resolved in [true, false] {
        metrics::counter!(DIFFERENCES, "resolved" => is_resolved.to_string()).absolute(0);
    }
    metrics::counter!(CONTRADICTIONS).absolute(0);
    metrics::describe_counter!(WORKFLOWS, "Workflows that follow what calls left open, by what became of them");
    metrics::describe_gauge!(
        OPEN,
        "What is asked for and not settled; what stays above 0 for long means that the provider or Temporal is away"
    );
    for kind in Kind::ALL {
        for event in ["started", "finished"] {
            metrics::counter!(WORKFLOWS, "workflow" => kind.as_str(), "event" => event).absolute(0);
        }
    }
    set_open(std::iter::empty());
}

/// Counts a workflow that was started.
pub(crate) fn count_started(kind: Kind) {
    metrics::counter!(WORKFLOWS, "workflow" => kind.as_str(), "event" => "started").increment(1);
}

/// Counts a workflow whose last step is done.
pub(crate) fn count_finished(kind: Kind) {
    metrics::counter!(WORKFLOWS, "workflow" => kind.as_str(), "event" => "finished").increment(1);
}

/// Shows how much is open.
pub(crate) fn set_open<'i>(intents: impl Iterator<Item = &'i Intent>) {
    let mut counts = [0_u32; Kind::ALL.len()];
    for intent in intents {
        counts[Kind::of(intent) as usize] += 1;
    }
    for kind in Kind::ALL {
        metrics::gauge!(OPEN, "workflow" => kind.as_str()).set(f64::from(counts[kind as usize]));
    }
}

/// Counts what has been committed.
pub(crate) fn count(changes: &[Change]) {
    for change in changes {
        metrics::counter!(CHANGES, "state" => change.payment.state.as_str()).increment(1);
    }
}

/// Counts a comparison with what it found.
pub(crate) fn count_reconciliation(differences: &[Difference]) {
    metrics::counter!(RECONCILIATIONS).increment(1);
    for difference in differences {
        metrics::counter!(DIFFERENCES, "resolved" => difference.is_resolved.to_string()).increment(1);
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

fn label(heard: Option<Heard>) -> &'static str {
    match heard {
        Some(Heard::News) => "news",
        Some(Heard::OldNews) => "old_news",
        Some(Heard::Repeat) => "repeat",
        None => "refused",
    }
}

/// Counts a webhook; none was taken when it was refused.
pub(crate) fn count_webhook(heard: Option<Heard>) {
    metrics::counter!(WEBHOOKS, "outcome" => label(heard)).increment(1);
}
