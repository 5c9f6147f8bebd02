//! Names, help and label values of the service's own metrics.

use crate::domain::{Event, State};

const CHANGES: &str = "market_inventory_reservation_changes_total";
const OUT_OF_STOCK: &str = "market_inventory_out_of_stock_total";
const UNEXPECTED: &str = "market_inventory_unexpected_events_total";

/// Writes the help texts, and shows the counters from the first scrape on.
pub(crate) fn describe() {
    metrics::describe_counter!(CHANGES, "Reservations that reached a state");
    metrics::describe_counter!(OUT_OF_STOCK, "Reservations refused because a line could not be had");
    metrics::describe_counter!(UNEXPECTED, "Order events that no reservation could follow; each is a broken promise STOCK-2");
    for state in State::ALL {
        metrics::counter!(CHANGES, "state" => state.as_str()).absolute(0);
    }
    metrics::counter!(OUT_OF_STOCK).absolute(0);
}

/// Counts what has been committed.
pub(crate) fn count(events: &[Event]) {
    for event in events {
        metrics::counter!(CHANGES, "state" => event.state().as_str()).increment(1);
    }
}

/// Counts a refusal for want of stock.
pub(crate) fn count_out_of_stock() {
    metrics::counter!(OUT_OF_STOCK).increment(1);
}

/// Counts an event that the reservation could not follow.
pub(crate) fn count_unexpected(kind: &str) {
    metrics::counter!(UNEXPECTED, "event" => kind.to_owned()).increment(1);
}
