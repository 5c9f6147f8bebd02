//! ORDER-2: a repeated `PlaceOrder` with one key gives one order and the same answer. What data can show of it: keys and orders go in pairs.

use std::collections::HashMap;

use ids::Region;
use promises::ORDER_2;
use uuid::Uuid;

use crate::verify::{facts::Facts, finding::Findings};

/// Pairs keys with orders, as stored and as acknowledged.
pub fn check(facts: &Facts, findings: &mut Findings) {
    let mut by_key: HashMap<i64, Uuid> = HashMap::new();
    let mut by_order: HashMap<Uuid, i64> = HashMap::new();
    for region in Region::ALL {
        for key in &facts.side(region).keys {
            let order = format!("order {}", key.order_id);
            if let Some(other) = by_key.insert(key.digest, key.order_id).filter(|other| *other != key.order_id) {
                findings.broken(ORDER_2, &order, format!("has the same key as order {other}"));
            }
            if by_order.insert(key.order_id, key.digest).is_some_and(|other| other != key.digest) {
                findings.broken(ORDER_2, &order, "has two keys");
            }
            if facts.order(key.order_id).is_none() {
                findings.broken(ORDER_2, &order, format!("is the answer to a key in {region}, and does not exist"));
            }
        }
    }
    for (id, _) in facts.orders().filter(|(id, order)| order.placed_at >= facts.keys_since && !by_order.contains_key(id)) {
        findings.broken(ORDER_2, format!("order {id}"), "has no key: a repeat of its request would make another one");
    }
    findings.looked_at(ORDER_2, "keys", by_key.len());
    let mut answers: HashMap<&str, Uuid> = HashMap::new();
    for line in &facts.journal {
        if let Some(other) = answers.insert(&line.key, line.order_id).filter(|other| *other != line.order_id) {
            findings.broken(ORDER_2, format!("key {}", line.key), format!("was answered with orders {other} and {}", line.order_id));
        }
    }
    findings.looked_at(ORDER_2, "answers", facts.journal.len());
}
