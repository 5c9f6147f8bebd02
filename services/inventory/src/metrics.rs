//! Names, help and label values of the service's own metrics.

use crate::domain::{Event, State};

const CHANGES: &str = "market_inventory_reservation_changes_total";
const OUT_OF_STOCK: &str = "market_inventory_out_of_stock_total";
const UNEXPECTED: &str = "market_inventory_unexpected_events_total";

const ASKS: &str = "market_inventory_rights_asks_total";
const MOVED: &str = "market_inventory_rights_moved_units_total";
const WAITS: &str = "market_inventory_rights_waits_total";

/// Writes the help texts, and shows the counters from the first scrape on.
pub(crate) fn describe() {
    metrics::describe_counter!(CHANGES, "Reservations that reached a state");
    metrics::describe_counter!(OUT_OF_STOCK, "Reservations refused because a line could not be had");
    metrics::describe_counter!(UNEXPECTED, "Order events that no reservation could follow; each is a broken promise STOCK-2");
    metrics::describe_counter!(ASKS, "Asks for the right to sell units of the other region; urgent when an order waits");
    metrics::describe_counter!(MOVED, "Units whose right to sell was given to the other region, or taken in from it");
    metrics::describe_counter!(WAITS, "Times that an order waited for units of the other region");
    for urgent in ["true", "false"] {
        metrics::counter!(ASKS, "urgent" => urgent).absolute(0);
    }
    for direction in ["given", "taken"] {
        metrics::counter!(MOVED, "direction" => direction).absolute(0);
    }
    metrics::counter!(WAITS).absolute(0);
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

/// Counts an ask of the other region.
pub(crate) fn count_ask(is_urgent: bool) {
    metrics::counter!(ASKS, "urgent" => if is_urgent { "true" } else { "false" }).increment(1);
}

/// Counts units that went and came.
pub(crate) fn count_moved(given: i64, taken: i64) {
    for (direction, units) in [("given", given), ("taken", taken)] {
        metrics::counter!(MOVED, "direction" => direction).increment(units.unsigned_abs());
    }
}

/// Counts an order's wait for the other region.
pub(crate) fn count_wait() {
    metrics::counter!(WAITS).increment(1);
}
