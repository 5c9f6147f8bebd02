//! STOCK-1: sold + reserved <= stocked, summed over both regions. Each region's counters are also compared with its reservations.

use std::collections::BTreeMap;

use ids::Region;
use promises::STOCK_1;

use crate::verify::{
    facts::{Facts, Stock},
    finding::Findings,
};

/// Adds up every SKU.
pub fn check(facts: &Facts, findings: &mut Findings) {
    let mut sums: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for region in Region::ALL {
        for stock in &facts.side(region).stock {
            counters(region, stock, findings);
            let (taken, stocked) = sums.entry(&stock.sku).or_default();
            *taken += stock.sold + stock.reserved;
            *stocked += stock.stocked;
        }
    }
    for (sku, (taken, stocked)) in &sums {
        if taken > stocked {
            findings.broken(STOCK_1, format!("sku {sku}"), format!("{taken} are sold or reserved of {stocked}"));
        }
    }
    findings.looked_at(STOCK_1, "skus", sums.len());
    findings.looked_at(STOCK_1, "units taken", sums.values().map(|(taken, _)| taken).sum::<i64>());
}

fn counters(region: Region, stock: &Stock, findings: &mut Findings) {
    let Stock { sku, stocked, on_hand, reserved, sold, reserved_by_lines, sold_by_lines } = stock;
    let mut broken = |text: String| findings.broken(STOCK_1, format!("sku {sku} in {region}"), text);
    if [on_hand, reserved, sold].iter().any(|count| **count < 0) {
        broken(format!("a count is below zero: {on_hand} on hand, {reserved} reserved, {sold} sold"));
    }
    if on_hand + reserved + sold != *stocked {
        broken(format!("{on_hand} on hand, {reserved} reserved and {sold} sold are not {stocked}"));
    }
    if reserved != reserved_by_lines {
        broken(format!("{reserved} are reserved, reservations say {reserved_by_lines}"));
    }
    if sold != sold_by_lines {
        broken(format!("{sold} are sold, reservations say {sold_by_lines}"));
    }
}
