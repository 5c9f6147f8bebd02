//! ORDER-1: an acknowledged order is in both regions, once, and reaches a final state.

use std::collections::{HashMap, HashSet};

use ids::Region;
use promises::ORDER_1;
use uuid::Uuid;

use crate::verify::{
    facts::{Acknowledged, Facts, Order, State},
    finding::Findings,
};

/// Compares the regions with each other, and the journal with both.
pub fn check(facts: &Facts, findings: &mut Findings) {
    let (mut orders, mut ended) = (0, 0);
    for (id, order) in facts.orders() {
        orders += 1;
        ended += usize::from(order.state.is_final());
        compare(facts, id, order, findings);
        if !order.state.is_final() {
            findings.unsettled(ORDER_1, subject(id), format!("is still {} in {}, its home", order.state.as_str(), order.home));
        }
    }
    findings.looked_at(ORDER_1, "orders", orders);
    findings.looked_at(ORDER_1, "ended", ended);
    acknowledged(facts, findings);
}

fn subject(id: Uuid) -> String {
    format!("order {id}")
}

fn compare(facts: &Facts, id: Uuid, order: &Order, findings: &mut Findings) {
    let [eu, us] = Region::ALL.map(|region| facts.side(region).orders.get(&id));
    let (Some(eu), Some(us)) = (eu, us) else {
        let missing = if eu.is_none() { Region::Eu } else { Region::Us };
        let text = format!("is not in {missing}");
        // An order is made at home: a home without it has lost it.
        if missing == order.home {
            findings.broken(ORDER_1, subject(id), text)
        } else {
            findings.unsettled(ORDER_1, subject(id), text)
        }
        return;
    };
    if eu.terms != us.terms {
        findings.broken(ORDER_1, subject(id), "is about something else in eu than in us");
    } else if (eu.version, eu.state, eu.row) != (us.version, us.state, us.row) {
        let text = format!("is {} (version {}) in eu, {} (version {}) in us", eu.state.as_str(), eu.version, us.state.as_str(), us.version);
        // An end is an end: what was sold is not cancelled later, nor the other way round.
        let has_two_ends = [(eu, us), (us, eu)].iter().any(|(one, other)| one.state == State::Cancelled && other.state.is_sold());
        if has_two_ends { findings.broken(ORDER_1, subject(id), text) } else { findings.unsettled(ORDER_1, subject(id), text) }
    }
}

/// What was acknowledged is there; and as many keys as orders: a key is one order, and an order has one key.
fn acknowledged(facts: &Facts, findings: &mut Findings) {
    if facts.journal.is_empty() {
        return;
    }
    let mut keys: HashMap<Uuid, &str> = HashMap::new();
    for Acknowledged { order_id, key, region, total, ends } in &facts.journal {
        if keys.insert(*order_id, key).is_some_and(|earlier| earlier != &**key) {
            findings.broken(ORDER_1, subject(*order_id), "was acknowledged under two keys");
        }
        let Some(order) = facts.order(*order_id) else {
            findings.broken(ORDER_1, subject(*order_id), "was acknowledged and is in neither region");
            continue;
        };
        if region.is_some_and(|region| region != order.home) {
            findings.broken(ORDER_1, subject(*order_id), format!("was acknowledged by another region than {}, its home", order.home));
        }
        if total.is_some_and(|total| total != order.total) {
            findings.broken(ORDER_1, subject(*order_id), "costs something else than was acknowledged");
        }
        if let Some(ends) = ends.filter(|ends| order.state.is_final() && *ends != order.state) {
            findings.broken(ORDER_1, subject(*order_id), format!("is {} and was to end {}", order.state.as_str(), ends.as_str()));
        }
        if !facts.is_judged(order.placed_at) && !order.state.is_final() {
            findings.unsettled(ORDER_1, subject(*order_id), format!("was acknowledged and is still {}", order.state.as_str()));
        }
    }
    findings.looked_at(ORDER_1, "acknowledged", keys.len());
    findings.looked_at(ORDER_1, "keys of the journal", facts.journal.iter().map(|line| &line.key).collect::<HashSet<_>>().len());
}
