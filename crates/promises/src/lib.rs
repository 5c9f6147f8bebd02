//! The numbered promises of the system. Tests, drills and counters name them by these ids; `docs/promises.md` explains each.

/// One promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// Id, e.g. `ORDER-1`. Never reused.
    pub id: &'static str,
    /// What is promised.
    pub text: &'static str,
}

/// All promises, by id.
pub const ALL: [Promise; 11] = [
    Promise { id: "BUS-1", text: "a committed change has its event published, at least once, in order per key, and applied once" },
    Promise { id: "CART-1", text: "replicas with the same deltas have the same cart, in any order, with any repeats" },
    Promise { id: "CART-2", text: "an item added concurrently with its removal stays" },
    Promise { id: "LEASE-1", text: "at most one writer per home region and epoch; a fenced writer commits nothing" },
    Promise { id: "ORDER-1", text: "an acknowledged order is in both regions, once, and reaches a final state" },
    Promise {
        id: "ORDER-2",
        text: "a repeated PlaceOrder with one key gives one order and the same answer; another body under that key is refused",
    },
    Promise {
        id: "PAY-1",
        text: "at most one capture per order; captured - refunded = what a shipped order costs, and 0 for a cancelled one",
    },
    Promise { id: "PAY-2", text: "the ledger balances to zero per currency, and agrees with the PSP's own list" },
    Promise { id: "SEARCH-1", text: "the index equals the catalog within 5 s of quiet" },
    Promise { id: "STOCK-1", text: "sold + reserved <= stocked, summed over both regions, at all times" },
    Promise { id: "STOCK-2", text: "every reservation ends committed or released" },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_promise_has_its_own_line_in_the_docs() {
        let page = include_str!("../../../docs/promises.md");
        for promise in ALL {
            assert!(page.contains(&format!("| {} | {} |", promise.id, promise.text)), "docs/promises.md misses {}", promise.id);
        }
        assert!(ALL.is_sorted_by_key(|promise| promise.id));
    }
}
