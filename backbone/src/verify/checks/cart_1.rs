//! CART-1: replicas with the same deltas have the same cart. Both regions hear of all of them, so sooner or later they have the same carts.

use ids::Region;
use promises::CART_1;

use crate::verify::{facts::Facts, finding::Findings};

/// Compares the regions. A cart that has changed since the first look is not judged.
pub fn check(facts: &Facts, findings: &mut Findings) {
    let mut compared = 0;
    for here in Region::ALL {
        for (id, cart) in &facts.side(here).carts {
            let there = here.peer();
            let copy = facts.side(there).carts.get(id);
            let is_judged = [Some(cart), copy].into_iter().flatten().all(|cart| facts.is_judged(cart.changed_at));
            if !is_judged {
                continue;
            }
            match copy {
                None => findings.unsettled(CART_1, format!("cart {id}"), format!("is in {here} and not in {there}")),
                Some(copy) if here == Region::Eu => {
                    compared += 1;
                    if copy.state != cart.state {
                        findings.unsettled(CART_1, format!("cart {id}"), "is another in eu than in us");
                    }
                }
                Some(_) => {}
            }
        }
    }
    findings.looked_at(CART_1, "carts", compared);
}
