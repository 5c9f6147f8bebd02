//! Names, help and label values of the service's own metrics.

use crate::domain::State;

const CHANGES: &str = "market_order_changes_total";
const BATCH: &str = "market_order_batch_orders";
const UNSTARTED: &str = "market_order_unstarted_orders";

/// Writes the help texts, and shows the counters from the first scrape on.
pub(crate) fn describe() {
    metrics::describe_counter!(CHANGES, "Orders that reached a state");
    metrics::describe_histogram!(BATCH, "Orders that were accepted by one statement");
    metrics::describe_gauge!(UNSTARTED, "Open orders and returns without a workflow; more than a moment above 0 breaks promise ORDER-1");
    for state in State::ALL {
        metrics::counter!(CHANGES, "state" => state.as_str()).absolute(0);
    }
    set_unstarted(0);
}

/// Counts an order that reached `state`.
pub(crate) fn count(state: State) {
    metrics::counter!(CHANGES, "state" => state.as_str()).increment(1);
}

/// Shows how many open orders have no workflow.
pub(crate) fn set_unstarted(orders: usize) {
    metrics::gauge!(UNSTARTED).set(f64::from(u32::try_from(orders).unwrap_or(u32::MAX)));
}

/// Notes how many orders were accepted together.
pub(crate) fn batch(orders: usize) {
    metrics::histogram!(BATCH).record(f64::from(u32::try_from(orders).unwrap_or(u32::MAX)));
}
