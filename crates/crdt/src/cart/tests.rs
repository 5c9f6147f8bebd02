//! What a shopper sees; the laws and the log of contributions are in [`log`].

use super::*;

mod log;

const EU: ReplicaId = ReplicaId(1);
const US: ReplicaId = ReplicaId(2);
const PHONE: SourceId = SourceId(0x91f3);

/// A cart in both regions, with two mugs that both have seen.
fn two_mugs() -> (Cart, Cart) {
    let mut eu = Cart::new();
    eu.change(EU, "mug", 2);
    (eu.clone(), eu)
}

/// Both after each has had the other's state.
fn exchanged(mut eu: Cart, mut us: Cart) -> Cart {
    let before = eu.clone();
    eu.merge(&us);
    us.merge(&before);
    assert_eq!(eu, us);
    eu
}

#[test]
fn quantities_changed_in_two_regions_add_up() {
    let (mut eu, mut us) = two_mugs();
    eu.change(EU, "mug", 3);
    us.change(US, "mug", -1);
    us.change(US, "tea", 1);
    assert_eq!(exchanged(eu, us).lines(), [("mug", 4), ("tea", 1)]);
}

#[test]
fn an_increment_concurrent_with_a_removal_survives_with_its_own_amount() {
    let (mut eu, mut us) = two_mugs();
    eu.remove("mug");
    us.change(US, "mug", 1);
    assert_eq!(exchanged(eu, us).lines(), [("mug", 1)]);
}

#[test]
fn a_quantity_set_in_both_regions_counts_once_and_of_two_the_larger() {
    let (mut eu, mut us) = two_mugs();
    eu.set(EU, "mug", 5);
    us.set(US, "mug", 5);
    us.set(US, "tea", 1);
    let mut both = exchanged(eu, us);
    assert_eq!(both.lines(), [("mug", 5), ("tea", 1)]);
    let mut us = both.clone();
    both.set(EU, "mug", 3);
    both.set(EU, "tea", 0);
    us.set(US, "mug", 4);
    us.change(US, "mug", 2);
    assert_eq!(exchanged(both, us).lines(), [("mug", 6)], "of 3 and 4 the larger, and 2 more");
}

#[test]
fn a_quantity_set_concurrently_with_a_removal_stays() {
    let (mut eu, mut us) = two_mugs();
    eu.remove("mug");
    us.set(US, "mug", 2);
    assert_eq!(exchanged(eu, us).lines(), [("mug", 2)]);
}

#[test]
fn nothing_removed_comes_back() {
    let (mut eu, us) = two_mugs();
    let cleared = eu.clear();
    let mut late = Cart::new();
    late.merge(&cleared);
    late.merge(&us);
    assert_eq!(late.lines(), []);
    assert_eq!(exchanged(eu, us), late);
}

#[test]
fn a_checkout_removes_what_was_bought_and_not_what_came_since() {
    let (mut eu, _) = two_mugs();
    let bought = eu.clone();
    eu.change(EU, "mug", 1);
    eu.change(EU, "tea", 1);
    let paid = bought.clone().clear();
    eu.merge(&paid);
    assert_eq!((bought.lines(), eu.lines()), (vec![("mug", 2)], vec![("mug", 1), ("tea", 1)]));
}

#[test]
fn a_change_counts_from_what_is_shown() {
    let (mut eu, mut us) = two_mugs();
    eu.change(EU, "mug", 1);
    us.merge(&eu);
    eu.change(EU, "mug", -2);
    us.change(US, "mug", -2);
    let mut both = exchanged(eu, us);
    assert_eq!(both.lines(), [], "three less four");
    both.change(US, "mug", -1);
    both.change(US, "mug", 1);
    assert_eq!(both.lines(), [("mug", 1)], "the debt is not paid off first");
    both.change(US, "mug", -5);
    assert_eq!(both.parts.lines, Lines::default(), "a change below zero removes the line");
    assert_eq!(both.change(EU, "mug", 0), Cart::new());
}

#[test]
fn a_replica_folds_its_many_contributions() {
    let mut eu = Cart::new();
    let deltas: Vec<Cart> = (0..100).map(|_| eu.change(EU, "mug", 1)).collect();
    let contributions = |cart: &Cart| cart.parts.lines.dots().count();
    assert_eq!(eu.lines(), [("mug", 100)]);
    assert!(contributions(&eu) <= lines::FOLD);
    let mut us = Cart::new();
    deltas.iter().rev().for_each(|delta| us.merge(delta));
    assert_eq!(eu, us);
    // The documented price: a removal that has not seen the fold leaves the folded amount.
    while contributions(&eu) < lines::FOLD {
        us.merge(&eu.change(EU, "mug", 1));
    }
    eu.change(EU, "mug", 1);
    let folded = eu.lines()[0].1;
    us.remove("mug");
    assert_eq!(exchanged(eu, us).lines(), [("mug", folded)]);
}

#[test]
fn a_fold_that_does_not_fit_or_is_zero_changes_no_sum() {
    let mut cart = Cart::new();
    for _ in 0..20 {
        cart.change(EU, "mug", i32::MAX);
    }
    assert_eq!(cart.quantity("mug"), 20 * i64::from(i32::MAX));
    let mut cart = Cart::new();
    cart.change(US, "tea", 5);
    for by in [1, -1].repeat(7).into_iter().chain([1, 1]) {
        cart.change(EU, "tea", by);
    }
    assert_eq!(cart.parts.lines.dots().count(), 1 + lines::FOLD);
    cart.change(EU, "tea", -2);
    assert_eq!((cart.lines(), cart.parts.lines.dots().count()), (vec![("tea", 5)], 1), "nothing is left of EU");
}

#[test]
fn a_concurrent_address_is_shown_beside_the_other_and_a_note_is_not() {
    let (mut eu, mut us) = two_mugs();
    eu.set_address(EU, "Main St 1".to_owned());
    us.set_address(US, "Elm St 2".to_owned());
    eu.set_note(EU, 7, "ring twice".to_owned());
    us.set_note(US, 6, "leave it".to_owned());
    let mut both = exchanged(eu, us);
    assert_eq!(both.address(), ["Elm St 2", "Main St 1"]);
    assert_eq!((both.note(), both.note_timestamp()), (Some("ring twice"), Some(7)));
    both.set_address(US, "Elm St 2".to_owned());
    both.clear();
    assert_eq!((both.address(), both.note(), both.lines()), (vec!["Elm St 2"], Some("ring twice"), vec![]));
}

/// An anonymous cart with three teas and a mug.
fn phone() -> Cart {
    let mut phone = Cart::new();
    phone.change(EU, "tea", 3);
    phone.change(EU, "mug", 1);
    phone
}

#[test]
fn a_login_handled_in_both_regions_counts_once() {
    let (mut eu, mut us) = two_mugs();
    eu.absorb(PHONE, &phone());
    us.absorb(PHONE, &phone());
    us.absorb(PHONE, &phone());
    assert_eq!(us.lines(), [("mug", 3), ("tea", 3)]);
    assert_eq!(exchanged(eu, us).lines(), [("mug", 3), ("tea", 3)]);
}

#[test]
fn regions_that_knew_different_states_of_the_absorbed_cart_agree() {
    let (mut eu, mut us) = two_mugs();
    let mut newer = phone();
    newer.change(US, "tea", 2);
    newer.remove("mug");
    eu.absorb(PHONE, &phone());
    us.absorb(PHONE, &newer);
    assert_eq!(exchanged(eu, us).lines(), [("mug", 2), ("tea", 5)]);
}

#[test]
fn what_was_absorbed_and_removed_stays_away() {
    let (mut eu, mut us) = two_mugs();
    eu.absorb(PHONE, &phone());
    let bought = eu.clear();
    us.merge(&bought);
    us.absorb(PHONE, &phone());
    us.change(US, "tea", 1);
    assert_eq!(exchanged(eu, us).lines(), [("tea", 1)]);
}

#[test]
fn an_absorbed_cart_takes_nothing_away_and_brings_its_own_absorbed_carts() {
    let mut debt = phone();
    debt.change(EU, "mug", 2);
    let mut other = debt.clone();
    debt.change(EU, "mug", -2);
    other.change(US, "mug", -2);
    debt.merge(&other);
    assert_eq!(debt.lines(), [("tea", 3)]);
    let mut tablet = Cart::new();
    tablet.absorb(PHONE, &debt);
    let (mut eu, _) = two_mugs();
    eu.absorb(SourceId(2), &tablet);
    eu.absorb(PHONE, &debt);
    assert_eq!(eu.lines(), [("mug", 2), ("tea", 3)]);
    eu.change(EU, "tea", -1);
    assert_eq!(eu.lines(), [("mug", 2), ("tea", 2)], "own changes count against absorbed lines");
}
