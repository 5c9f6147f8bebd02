//! Names, help and label values of the service's own metrics.

use crate::domain::Event;

const CHANGES: &str = "market_cart_changes_total";
const MERGED: &str = "market_cart_merged_total";
const REPAIRED: &str = "market_cart_repaired_total";

/// Writes the help texts, and shows the counters from the first scrape on.
pub(crate) fn describe() {
    metrics::describe_counter!(CHANGES, "Changes of carts made in this region");
    metrics::describe_counter!(MERGED, "Carts that changes of the other region made other than before");
    metrics::describe_counter!(REPAIRED, "Carts with changes by the other region that a comparison found, late or lost");
    for name in [MERGED, REPAIRED] {
        metrics::counter!(name).absolute(0);
    }
    for change in ["line_set", "line_removed", "absorbed", "checked_out"] {
        metrics::counter!(CHANGES, "change" => change).absolute(0);
    }
}

/// Counts what has been committed.
pub(crate) fn count(event: &Event) {
    let change = match event {
        Event::LineSet { .. } => "line_set",
        Event::LineRemoved { .. } => "line_removed",
        Event::Absorbed { .. } => "absorbed",
        Event::CheckedOut { .. } => "checked_out",
    };
    metrics::counter!(CHANGES, "change" => change).increment(1);
}

/// Counts what came from the other region and has been committed.
pub(crate) fn count_merged(carts: usize) {
    metrics::counter!(MERGED).increment(carts as u64);
}

/// Counts what a comparison with the other region has found.
pub(crate) fn count_repaired(carts: usize) {
    metrics::counter!(REPAIRED).increment(carts as u64);
}
