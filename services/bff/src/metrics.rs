//! Names, help and label values of the service's own metrics.

const ORDERS: &str = "market_bff_orders_total";
const STREAMS: &str = "market_bff_streams";

/// Writes the help texts, and shows the counters from the first scrape on.
pub(crate) fn describe() {
    metrics::describe_counter!(ORDERS, "Orders that shoppers placed, and repeats of them");
    metrics::describe_gauge!(STREAMS, "Orders and carts that are being followed");
    for replayed in ["false", "true"] {
        metrics::counter!(ORDERS, "replayed" => replayed).absolute(0);
    }
    metrics::gauge!(STREAMS).set(0.0);
}

/// Counts an order.
pub(crate) fn count_order(replayed: bool) {
    metrics::counter!(ORDERS, "replayed" => if replayed { "true" } else { "false" }).increment(1);
}

/// Counts somebody who follows an order or a cart, while it lives.
#[derive(Debug)]
pub(crate) struct Follower(());

impl Follower {
    pub(crate) fn new() -> Self {
        metrics::gauge!(STREAMS).increment(1.0);
        Self(())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        metrics::gauge!(STREAMS).decrement(1.0);
    }
}
