//! Names, help and label values of the service's own metrics.

use crate::domain::Event;

const CHANGES: &str = "market_cart_changes_total";

/// Writes the help texts, and shows the counters from the first scrape on.
pub(crate) fn describe() {
    metrics::describe_counter!(CHANGES, "Changes of carts");
    for change in ["line_set", "line_removed", "checked_out"] {
        metrics::counter!(CHANGES, "change" => change).absolute(0);
    }
}

/// Counts what has been committed.
pub(crate) fn count(event: &Event) {
    let change = match event {
        Event::LineSet { .. } => "line_set",
        Event::LineRemoved { .. } => "line_removed",
        Event::CheckedOut { .. } => "checked_out",
    };
    metrics::counter!(CHANGES, "change" => change).increment(1);
}
