//! Sound facts pass every check; facts with one thing wrong are caught by the check whose promise they break.

use ids::Region;
use promises::{CART_1, ORDER_1, ORDER_2, PAY_1, PAY_2, Promise, STOCK_1, STOCK_2};
use proptest::{prelude::*, sample::Index};
use uuid::Uuid;

use super::run;
use crate::verify::{
    facts::{
        Cart, Charge, Facts, Hold, Order, Reservation, State,
        samples::{EUR, NOW, entry, id, market, order_id, transfer_id},
    },
    finding::{Findings, Severity},
};

const ENDS: [State; 4] = [State::Shipped, State::Cancelled, State::Returned, State::Shipped];

fn findings(facts: &Facts) -> Findings {
    let mut findings = Findings::default();
    run(facts, &mut findings);
    findings
}

/// What is wrong, by promise.
fn wrong(facts: &Facts) -> Vec<(Promise, Severity, String)> {
    let found = findings(facts);
    let all = found.iter().flat_map(|(promise, tally)| tally.examples.iter().map(move |example| (promise, example.clone())));
    all.map(|(promise, violation)| (promise, violation.severity, format!("{} {}", violation.subject, violation.text))).collect()
}

/// Breaks a sound market and expects the promise's check to say so, in words that contain `words`.
fn caught(promise: Promise, severity: Severity, words: &str, change: impl FnOnce(&mut Facts)) {
    let mut facts = market(&ENDS);
    change(&mut facts);
    let wrong = wrong(&facts);
    let is_caught = wrong.iter().any(|(of, how, text)| *of == promise && *how == severity && text.contains(words));
    assert!(is_caught, "{promise} {severity:?} {words:?} is not among {wrong:#?}");
}

fn broken(promise: Promise, words: &str, change: impl FnOnce(&mut Facts)) {
    caught(promise, Severity::Broken, words, change);
}

fn unsettled(promise: Promise, words: &str, change: impl FnOnce(&mut Facts)) {
    caught(promise, Severity::Unsettled, words, change);
}

fn copy(facts: &mut Facts, region: Region, number: u32) -> &mut Order {
    facts.side_mut(region).orders.get_mut(&order_id(number)).unwrap()
}

fn forget(facts: &mut Facts, region: Region, number: u32) {
    facts.side_mut(region).orders.remove(&order_id(number));
}

fn charge(facts: &mut Facts, number: u32) -> &mut Charge {
    &mut facts.charges.get_mut(&order_id(number)).unwrap()[0]
}

#[test]
fn a_sound_market_keeps_every_promise() {
    assert_eq!(wrong(&market(&ENDS)), []);
    assert_eq!(wrong(&market(&[])), [], "an empty one too");
}

#[test]
fn cart_1_misses_carts_and_differences() {
    unsettled(CART_1, "cart s1 is another in eu than in us", |facts| facts.sides[1].carts.get_mut("s1").unwrap().state = 6);
    for side in 0..2 {
        unsettled(CART_1, "cart s1 is in", |facts| {
            facts.sides[side].carts.remove("s1");
        });
    }
    // Changed since the first look: its change may be on the way.
    let mut facts = market(&ENDS);
    *facts.sides[1].carts.get_mut("s1").unwrap() = Cart { state: 6, changed_at: NOW + 1 };
    assert_eq!(wrong(&facts), []);
}

#[test]
fn order_1_misses_orders_and_differences() {
    broken(ORDER_1, "is in neither region", |facts| Region::ALL.iter().for_each(|region| forget(facts, *region, 0)));
    broken(ORDER_1, "is not in eu", |facts| forget(facts, Region::Eu, 0));
    unsettled(ORDER_1, "is not in us", |facts| forget(facts, Region::Us, 0));
    unsettled(ORDER_1, "in eu, confirmed (version 2) in us", |facts| {
        let copy = copy(facts, Region::Us, 0);
        (copy.version, copy.state) = (2, State::Confirmed);
    });
    broken(ORDER_1, "about something else", |facts| copy(facts, Region::Us, 0).terms = 99);
    unsettled(ORDER_1, "in us", |facts| copy(facts, Region::Us, 0).row = 99);
    broken(ORDER_1, "is shipped (version 3) in eu, cancelled (version 3) in us", |facts| {
        copy(facts, Region::Us, 0).state = State::Cancelled
    });
    unsettled(ORDER_1, "is still placed", |facts| Region::ALL.iter().for_each(|region| copy(facts, *region, 1).state = State::Placed));
    unsettled(ORDER_1, "is still being returned", |facts| {
        Region::ALL.iter().for_each(|region| copy(facts, *region, 0).state = State::Returning);
    });
}

#[test]
fn order_1_holds_the_market_to_its_acknowledgements() {
    broken(ORDER_1, "under two keys", |facts| {
        let again = facts.journal[0].clone();
        facts.journal.push(crate::verify::facts::Acknowledged { key: "another".into(), ..again });
    });
    broken(ORDER_1, "is shipped and was to end cancelled", |facts| facts.journal[0].ends = Some(State::Cancelled));
    broken(ORDER_1, "by another region", |facts| facts.journal[0].region = Some(Region::Us));
    broken(ORDER_1, "costs something else", |facts| facts.journal[0].total = Some(money::Money::new(1, EUR)));
    unsettled(ORDER_1, "was acknowledged and is still placed", |facts| {
        facts.since = NOW - 1000;
        Region::ALL.iter().for_each(|region| copy(facts, *region, 0).state = State::Placed);
    });
}

#[test]
fn order_2_wants_one_key_for_each_order_and_one_order_for_each_key() {
    broken(ORDER_2, "has no key", |facts| facts.side_mut(Region::Eu).keys.clear());
    broken(ORDER_2, "has two keys", |facts| facts.side_mut(Region::Us).keys[0].order_id = order_id(0));
    broken(ORDER_2, "has the same key as order", |facts| facts.side_mut(Region::Us).keys[0].digest = 0);
    broken(ORDER_2, "does not exist", |facts| facts.side_mut(Region::Us).keys[0].order_id = order_id(99));
    broken(ORDER_2, "was answered with orders", |facts| facts.journal[1].key = "key-0".into());
    let mut old = market(&ENDS);
    (old.keys_since, old.side_mut(Region::Eu).keys) = (NOW - 1000, Vec::new());
    assert_eq!(wrong(&old), [], "keys that were forgotten are not missed");
}

#[test]
fn pay_1_counts_the_money_of_each_order() {
    broken(PAY_1, "captured more than once", |facts| {
        let twin = charge(facts, 0).clone();
        facts.charges.get_mut(&order_id(0)).unwrap().push(twin);
    });
    broken(PAY_1, "1000 EUR are due, 0 were taken", |facts| drop(facts.charges.remove(&order_id(0))));
    broken(PAY_1, "1000 EUR are due, 999 were taken", |facts| charge(facts, 0).refunded = 1);
    broken(PAY_1, "is returned: 0 EUR are due, 1002 were taken", |facts| charge(facts, 2).refunded = 0);
    broken(PAY_1, "another currency", |facts| charge(facts, 0).currency = "USD".parse().unwrap());
    let held = || Charge { id: "ch_9".into(), held: 5, captured: 0, refunded: 0, charged_back: 0, currency: EUR };
    broken(PAY_1, "is cancelled, and 5 EUR are still held", |facts| drop(facts.charges.insert(order_id(1), vec![held()])));
    broken(PAY_1, "has a charge and is in neither region", |facts| drop(facts.charges.insert(id(NOW - 5000, 7), vec![held()])));
    let mut young = market(&ENDS);
    young.charges.insert(id(NOW + 5000, 7), vec![held()]);
    assert_eq!(wrong(&young), [], "an order placed while we look is not missed");
}

#[test]
fn pay_1_knows_of_parts_that_were_given_back() {
    let mut facts = market(&ENDS);
    facts.side_mut(Region::Eu).granted.insert(order_id(0), 300);
    charge(&mut facts, 0).refunded = 300;
    for (account, amount) in [("psp_receivable", -300), ("refunds", 300)] {
        facts.side_mut(Region::Eu).books.enter(entry(order_id(0), "refund", account, amount));
    }
    assert_eq!(wrong(&facts), []);
    broken(PAY_1, "700 EUR are due, 1000 were taken", |facts| {
        facts.side_mut(Region::Eu).granted.insert(order_id(0), 300);
    });
}

#[test]
fn pay_2_adds_up_the_ledger_and_compares_it() {
    broken(PAY_2, "ledger of eu is off by 5 EUR", |facts| facts.side_mut(Region::Eu).books.enter(entry(order_id(0), "fee", "bank", 5)));
    broken(PAY_2, "its fee is off by 5 EUR", |facts| facts.side_mut(Region::Eu).books.enter(entry(order_id(0), "fee", "bank", 5)));
    broken(PAY_2, "its capture is off by 1 EUR", |facts| {
        // Balanced in all, but not by group.
        facts.side_mut(Region::Eu).books.enter(entry(order_id(0), "capture", "sales", 1));
        facts.side_mut(Region::Eu).books.enter(entry(order_id(0), "refund", "sales", -1));
    });
    broken(PAY_2, "the ledger says 2000, the provider 1000", |facts| {
        facts.side_mut(Region::Us).books.enter(entry(order_id(0), "capture", "psp_receivable", 1000));
        facts.side_mut(Region::Us).books.enter(entry(order_id(0), "capture", "sales", -1000));
    });
    broken(PAY_2, "the ledger says 1000, the provider 0", |facts| drop(facts.charges.remove(&order_id(0))));
}

#[test]
fn pay_2_hears_of_chargebacks() {
    unsettled(PAY_2, "the bank took back 1000, the ledger says 0", |facts| charge(facts, 0).charged_back = 1000);
    let enter = |facts: &mut Facts| {
        facts.side_mut(Region::Eu).books.enter(entry(order_id(0), "chargeback", "psp_receivable", -1000));
        facts.side_mut(Region::Eu).books.enter(entry(order_id(0), "chargeback", "losses", 1000));
    };
    broken(PAY_2, "the bank took back 0, the ledger says 1000", enter);
    let mut both = market(&ENDS);
    enter(&mut both);
    charge(&mut both, 0).charged_back = 1000;
    assert_eq!(wrong(&both), [], "what the bank takes back breaks no promise");
}

#[test]
fn stock_1_adds_up_every_unit() {
    let stock =
        |change: fn(&mut crate::verify::facts::Stock)| move |facts: &mut Facts| change(&mut facts.side_mut(Region::Eu).shelf.stock[0]);
    broken(STOCK_1, "2 are sold, reservations say 0", stock(|stock| stock.sold_by_lines = 0));
    broken(STOCK_1, "0 are reserved, reservations say 2", stock(|stock| stock.reserved_by_lines = 2));
    broken(STOCK_1, "are not 95", stock(|stock| stock.on_hand += 1));
    broken(STOCK_1, "a count is below zero", stock(|stock| stock.on_hand = -1));
    unsettled(STOCK_1, "302 are sold or reserved of 200", |facts| {
        // The other region's stock does not save it.
        facts.side_mut(Region::Us).shelf.stock[0].sold = 300;
    });
    broken(STOCK_1, "7 came from the other region, transfers say -5", stock(|stock| stock.moved = 7));
}

#[test]
fn stock_1_has_both_halves_of_every_transfer() {
    let drop_half = |region: Region| move |facts: &mut Facts| drop(facts.side_mut(region).shelf.transfers.remove(&transfer_id()));
    broken(STOCK_1, "came to us and was not given by eu", drop_half(Region::Eu));
    unsettled(STOCK_1, "was given by eu and has not come to us", drop_half(Region::Us));
    broken(STOCK_1, "moved 5 of MUG in us and -4 of MUG in eu", |facts| {
        facts.side_mut(Region::Eu).shelf.transfers.get_mut(&transfer_id()).unwrap().quantity = -4;
    });
}

#[test]
fn stock_2_ends_every_reservation_as_its_order() {
    let set = |number: u32, state: Option<Hold>| {
        move |facts: &mut Facts| {
            let side = facts.side_mut(Region::ALL[number as usize % 2]);
            match state {
                Some(state) => side.shelf.reservations.get_mut(&order_id(number)).unwrap().state = state,
                None => {
                    side.shelf.reservations.remove(&order_id(number));
                }
            }
        }
    };
    unsettled(STOCK_2, "is shipped, its reservation is still open", set(0, Some(Hold::Reserved)));
    unsettled(STOCK_2, "is cancelled, its reservation is still open", set(1, Some(Hold::Reserved)));
    broken(STOCK_2, "is shipped, its reservation was released", set(0, Some(Hold::Released)));
    broken(STOCK_2, "is returned, its reservation was released", set(2, Some(Hold::Released)));
    broken(STOCK_2, "is cancelled, its reservation was committed", set(1, Some(Hold::Committed)));
    broken(STOCK_2, "never had a reservation", set(0, None));
    broken(STOCK_2, "other units", |facts| facts.side_mut(Region::Eu).shelf.reservations.get_mut(&order_id(0)).unwrap().units = 1);
    broken(STOCK_2, "holds stock in us", |facts| {
        facts.side_mut(Region::Us).shelf.reservations.insert(id(NOW - 5000, 7), Reservation { state: Hold::Reserved, units: 1 });
    });
    let mut none = market(&ENDS);
    none.side_mut(Region::Us).shelf.reservations.remove(&order_id(1));
    assert_eq!(wrong(&none), [], "an order that was cancelled before it reserved holds nothing");
}

fn ends() -> impl Strategy<Value = Vec<State>> {
    prop::collection::vec(prop::sample::select(vec![State::Shipped, State::Cancelled, State::Returned]), 1..20)
}

/// Changes one fact of one order, and says which promise that breaks. `None` when the order has no such fact.
fn spoil(facts: &mut Facts, number: u32, how: u8) -> Option<Promise> {
    let id: Uuid = order_id(number);
    let home = facts.order(id)?.home;
    match how {
        0 => facts.side_mut(home).orders.remove(&id).map(|_| ORDER_1),
        1 => facts.side_mut(home.peer()).orders.remove(&id).map(|_| ORDER_1),
        2 => facts.side_mut(home.peer()).orders.get_mut(&id).map(|order| order.row += 1).map(|()| ORDER_1),
        3 => facts.charges.remove(&id).filter(|list| list.iter().any(|charge| charge.refunded == 0)).map(|_| PAY_1),
        4 => facts.charges.get_mut(&id)?.first_mut().map(|charge| charge.held += 1).map(|()| PAY_1),
        5 => facts.charges.get_mut(&id)?.first_mut().map(|charge| charge.captured += 1).map(|()| PAY_2),
        6 => facts.side_mut(home).shelf.reservations.get_mut(&id).map(|reservation| reservation.state = Hold::Reserved).map(|()| STOCK_2),
        7 => facts.side_mut(home).shelf.stock.first_mut().map(|stock| stock.sold += 1).map(|()| STOCK_1),
        _ => None,
    }
}

proptest! {
    #[test]
    fn any_sound_market_passes(ends in ends()) {
        prop_assert_eq!(wrong(&market(&ends)), []);
    }

    #[test]
    fn whatever_is_spoiled_in_any_market_is_caught(ends in ends(), which: Index, how in 0_u8..8) {
        let mut facts = market(&ends);
        let number = u32::try_from(which.index(ends.len())).unwrap();
        if let Some(promise) = spoil(&mut facts, number, how) {
            let wrong = wrong(&facts);
            prop_assert!(wrong.iter().any(|(of, ..)| *of == promise), "{promise}: {wrong:?}");
        }
    }
}
