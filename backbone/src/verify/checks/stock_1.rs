//! STOCK-1: sold + reserved <= stocked, summed over both homes. Each home's counters are also compared with its reservations, and what moved
//! between the homes with what both of them know of it.

use std::collections::BTreeMap;

use ids::Region;
use promises::STOCK_1;
use uuid::Uuid;

use crate::verify::{
    facts::{Facts, Stock, Transfer},
    finding::Findings,
};

/// Adds up every SKU.
pub fn check(facts: &Facts, findings: &mut Findings) {
    let mut sums: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for region in Region::ALL {
        let mut moved: BTreeMap<&str, i64> = BTreeMap::new();
        for (id, transfer) in &facts.shelf(region).transfers {
            *moved.entry(&transfer.sku).or_default() += transfer.quantity;
            has_its_other_half(region, *id, transfer, facts, findings);
        }
        for stock in &facts.shelf(region).stock {
            counters(region, stock, moved.get(&*stock.sku).copied().unwrap_or(0), findings);
            let (taken, initial) = sums.entry(&stock.sku).or_default();
            *taken += stock.sold + stock.reserved;
            *initial += stock.initial();
        }
        findings.looked_at(STOCK_1, "transfers", facts.shelf(region).transfers.len());
    }
    for (sku, (taken, initial)) in &sums {
        if taken > initial {
            // Not at once: a unit that is released, moves and is sold while the databases are read one after the other is counted in both.
            findings.unsettled(STOCK_1, format!("sku {sku}"), format!("{taken} are sold or reserved of {initial}"));
        }
    }
    findings.looked_at(STOCK_1, "skus", sums.len());
    findings.looked_at(STOCK_1, "units taken", sums.values().map(|(taken, _)| taken).sum::<i64>());
}

fn counters(region: Region, stock: &Stock, moved_by_transfers: i64, findings: &mut Findings) {
    let Stock { sku, stocked, on_hand, reserved, sold, reserved_by_lines, sold_by_lines, moved } = stock;
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
    if *moved != moved_by_transfers {
        broken(format!("{moved} came from the other region, transfers say {moved_by_transfers}"));
    }
}

/// Units that came were given, and units that were given come.
fn has_its_other_half(region: Region, id: Uuid, transfer: &Transfer, facts: &Facts, findings: &mut Findings) {
    let (peer, subject) = (region.peer(), format!("transfer {id} of sku {}", transfer.sku));
    let other = facts.shelf(peer).transfers.get(&id);
    let is_half = |other: &Transfer| other.sku == transfer.sku && other.quantity == -transfer.quantity;
    match other {
        Some(other) if is_half(other) => {}
        Some(other) => {
            let text =
                format!("moved {} of {} in {region} and {} of {} in {peer}", transfer.quantity, transfer.sku, other.quantity, other.sku);
            findings.broken(STOCK_1, subject, text);
        }
        // The databases are read one after the other.
        None if transfer.moved_at > facts.horizon => {}
        None if transfer.quantity > 0 => findings.broken(STOCK_1, subject, format!("came to {region} and was not given by {peer}")),
        None => findings.unsettled(STOCK_1, subject, format!("was given by {region} and has not come to {peer}")),
    }
}
