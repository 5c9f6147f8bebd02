//! STOCK-2: every reservation ends committed or released, as its order ended, over the units that were ordered.

use ids::Region;
use promises::STOCK_2;
use uuid::Uuid;

use crate::verify::{
    facts::{Facts, Hold, Order, Reservation, made_at},
    finding::Findings,
};

/// Goes through the orders that ended, and through the reservations whose order is unknown.
pub fn check(facts: &Facts, findings: &mut Findings) {
    for (id, order) in facts.orders().filter(|(_, order)| order.state.is_final()) {
        ended(id, order, facts.shelf(order.home).reservations.get(&id), findings);
    }
    for region in Region::ALL {
        let reservations = &facts.shelf(region).reservations;
        findings.looked_at(STOCK_2, "reservations", reservations.len());
        for (id, reservation) in reservations {
            let is_old = made_at(*id).is_some_and(|at| facts.is_judged(at));
            if is_old && reservation.state != Hold::Released && facts.order(*id).is_none() {
                findings.broken(STOCK_2, format!("order {id}"), format!("holds stock in {region} and is in neither region"));
            }
        }
    }
}

fn ended(id: Uuid, order: &Order, reservation: Option<&Reservation>, findings: &mut Findings) {
    let subject = format!("order {id}");
    let state = order.state.as_str();
    let Some(Reservation { state: hold, units }) = reservation else {
        if order.state.is_sold() {
            findings.broken(STOCK_2, subject, format!("is {state} and never had a reservation"));
        }
        return;
    };
    match hold {
        // The reservation follows the event of the order's end.
        Hold::Reserved => findings.unsettled(STOCK_2, subject, format!("is {state}, its reservation is still open")),
        Hold::Released if order.state.is_sold() => findings.broken(STOCK_2, subject, format!("is {state}, its reservation was released")),
        Hold::Committed if !order.state.is_sold() => {
            findings.broken(STOCK_2, subject, format!("is {state}, its reservation was committed"))
        }
        Hold::Committed if *units != order.units => {
            findings.broken(STOCK_2, subject, format!("is {state}, and other units were reserved for it"));
        }
        Hold::Released | Hold::Committed => {}
    }
}
