//! PAY-1: at most one capture per order; captured - refunded = what a shipped order costs, and 0 for a cancelled one. By the provider's own
//! list, which is what shoppers see on their statements.

use std::collections::BTreeMap;

use promises::PAY_1;
use uuid::Uuid;

use crate::verify::{
    facts::{Charge, Facts, Order, made_at},
    finding::Findings,
};

/// Goes through the charges by order, and through the orders that have none.
pub fn check(facts: &Facts, findings: &mut Findings) {
    let mut charges = 0;
    for (id, list) in &facts.charges {
        let is_old = made_at(*id).is_some_and(|at| facts.is_judged(at));
        charges += list.len();
        if list.iter().filter(|charge| charge.captured > 0).count() > 1 {
            findings.broken(PAY_1, format!("order {id}"), "was captured more than once");
        }
        if is_old && facts.order(*id).is_none() {
            findings.broken(PAY_1, format!("order {id}"), "has a charge and is in neither region");
        }
    }
    let mut money: BTreeMap<&'static str, i64> = BTreeMap::new();
    for (id, order) in facts.orders().filter(|(_, order)| order.state.is_final()) {
        let list = facts.charges.get(&id).map_or(&[][..], Vec::as_slice);
        ended(facts, id, order, list, findings);
        let kept: i64 = list.iter().map(Charge::kept).sum();
        *money.entry("minor units due").or_default() += facts.due(id, order);
        *money.entry("minor units taken").or_default() += kept;
    }
    findings.looked_at(PAY_1, "charges", charges);
    money.into_iter().for_each(|(what, amount)| findings.looked_at(PAY_1, what, amount));
}

/// An order ends after its money has moved, and orders were read before the provider: there is nothing to wait for.
fn ended(facts: &Facts, id: Uuid, order: &Order, charges: &[Charge], findings: &mut Findings) {
    let subject = || format!("order {id}");
    let state = order.state.as_str();
    let held: i64 = charges.iter().map(|charge| charge.held).sum();
    if held != 0 {
        findings.broken(PAY_1, subject(), format!("is {state}, and {held} {} are still held", order.total.currency));
    }
    if charges.iter().any(|charge| charge.currency != order.total.currency) {
        findings.broken(PAY_1, subject(), "was charged in another currency");
    }
    let kept: i64 = charges.iter().map(Charge::kept).sum();
    let due = facts.due(id, order);
    if kept != due {
        findings.broken(PAY_1, subject(), format!("is {state}: {due} {} are due, {kept} were taken", order.total.currency));
    }
}
