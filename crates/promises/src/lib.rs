//! The numbered promises of the system. Tests, drills and counters name them by these ids; `docs/promises.md` explains each.

/// One promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Promise {
    /// Id, e.g. `ORDER-1`. Never reused.
    pub id: &'static str,
    /// What is promised.
    pub text: &'static str,
}

impl std::fmt::Display for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

macro_rules! promises {
    ($($name:ident, $id:literal: $text:literal;)*) => {
        $(
            #[doc = concat!($id, ": ", $text, ".")]
            pub const $name: Promise = Promise { id: $id, text: $text };
        )*
        /// All promises, by id.
        pub const ALL: &[Promise] = &[$($name),*];
    };
}

promises! {
    BUS_1, "BUS-1": "a committed change has its event published, at least once, in order per key, and applied once";
    CART_1, "CART-1": "replicas with the same deltas have the same cart, in any order, with any repeats";
    CART_2, "CART-2": "an item added concurrently with its removal stays";
    LEASE_1, "LEASE-1": "at most one writer per home region and epoch; a fenced writer commits nothing";
    ORDER_1, "ORDER-1": "an acknowledged order is in both regions, once, and reaches a final state";
    ORDER_2, "ORDER-2": "a repeated PlaceOrder with one key gives one order and the same answer; another body under that key is refused";
    PAY_1, "PAY-1": "at most one capture per order; captured - refunded = what a shipped order costs, and 0 for a cancelled or returned one";
    PAY_2, "PAY-2": "the ledger balances to zero per currency, and agrees with the PSP's own list";
    SEARCH_1, "SEARCH-1": "the index equals the catalog within 5 s of quiet";
    STOCK_1, "STOCK-1": "sold + reserved <= stocked, summed over both regions, at all times";
    STOCK_2, "STOCK-2": "every reservation ends committed or released";
}

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
