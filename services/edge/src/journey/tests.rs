//! Claims about repeats.

use ids::Region::{Eu, Us};
use proptest::prelude::*;

use super::*;
use crate::both::Both;

const LIMIT: Duration = Duration::from_secs(30);

fn choice(region: Region, is_pinned: bool) -> Choice {
    Choice { region, is_pinned }
}

fn sight(eu: Health, us: Health, holder_of_eu: Option<Region>) -> Sight {
    Sight { health: Both { eu, us }, holder: Both { eu: holder_of_eu, us: Some(Us) }, nearest: Eu }
}

const WELL: Sight = Sight { health: Both { eu: Health::Healthy, us: Health::Healthy }, holder: Both { eu: None, us: None }, nearest: Eu };

/// A journey after these losses.
fn after(choice: Choice, repeat: Repeat, had_by: Option<Region>, lost: &[(Region, Loss)]) -> Journey {
    let mut journey = Journey::new(choice, repeat, had_by);
    for &(region, loss) in lost {
        journey.lose(region, loss);
    }
    journey
}

fn unpinned(repeat: Repeat, lost: &[(Region, Loss)]) -> Journey {
    after(choice(Eu, false), repeat, None, lost)
}

#[test]
fn reads_and_keyed_changes_of_a_cart_go_to_the_other_region_at_once_and_once() {
    for repeat in [Repeat::Read, Repeat::Anywhere] {
        for loss in [Loss::NotSent, Loss::Broken, Loss::Left, Loss::Late] {
            assert_eq!(unpinned(repeat, &[(Eu, loss)]).next(&WELL), Step::To(Us), "{repeat:?} {loss:?}");
            assert_eq!(unpinned(repeat, &[(Eu, loss), (Us, loss)]).next(&WELL), Step::End);
        }
        assert_eq!(after(choice(Eu, true), repeat, None, &[(Eu, Loss::Broken)]).next(&WELL), Step::To(Eu));
        assert_eq!(after(choice(Eu, true), repeat, None, &[(Eu, Loss::Left)]).next(&WELL), Step::End);
    }
}

#[test]
fn an_order_waits_for_its_region_or_for_the_one_that_holds_its_home() {
    let mut lost = unpinned(Repeat::AtHome, &[(Eu, Loss::Broken)]);
    assert_eq!(lost.next(&WELL), Step::To(Eu), "a connection may break");
    lost.lose(Eu, Loss::Broken);
    assert_eq!(lost.next(&WELL), Step::Pause);
    lost.rest();
    assert_eq!(lost.next(&WELL), Step::To(Eu));
    lost.lose(Eu, Loss::NotSent);
    for holder in [None, Some(Eu)] {
        assert_eq!(lost.next(&sight(Health::Down, Health::Healthy, holder)), Step::Wait);
        assert_eq!(lost.next(&sight(Health::Unready, Health::Healthy, holder)), Step::Wait);
    }
    assert_eq!(lost.next(&sight(Health::Down, Health::Healthy, Some(Us))), Step::To(Us));
    assert_eq!(lost.next(&sight(Health::Fenced, Health::Healthy, Some(Us))), Step::To(Us));
    assert_eq!(lost.next(&sight(Health::Fenced, Health::Down, Some(Us))), Step::Wait);
    // The heir has it now.
    lost.lose(Us, Loss::Broken);
    assert_eq!(lost.next(&sight(Health::Healthy, Health::Down, Some(Eu))), Step::Wait, "us may have done it, and holds its own home");
}

#[test]
fn a_key_that_a_region_had_before_is_not_new_in_the_other_one() {
    let known = after(choice(Us, false), Repeat::AtHome, Some(Eu), &[]);
    assert_eq!(known.next(&WELL), Step::To(Eu));
    assert_eq!(known.next(&sight(Health::Unready, Health::Healthy, None)), Step::To(Eu));
    assert_eq!(known.next(&sight(Health::Down, Health::Healthy, Some(Eu))), Step::Wait);
    assert_eq!(known.next(&sight(Health::Down, Health::Healthy, Some(Us))), Step::To(Us));
    assert_eq!(known.verdict(LIMIT), Error::OutcomeUnknown { region: Eu, has_key: true });
    let refused = after(choice(Us, false), Repeat::AtHome, Some(Eu), &[(Eu, Loss::Fenced)]);
    assert_eq!(refused.next(&WELL), Step::Pause, "an older attempt may still be under way there");
    assert!(!refused.was_not_done());
}

#[test]
fn a_twin_that_may_be_done_is_followed() {
    let mut order = unpinned(Repeat::AtHome, &[(Eu, Loss::NotSent)]);
    let down = sight(Health::Down, Health::Healthy, None);
    assert_eq!(order.next(&down), Step::To(Us));
    order.learn(None);
    assert_eq!(order.next(&down), Step::To(Us));
    order.learn(Some(Eu));
    assert_eq!(order.next(&down), Step::Wait, "a second click was sent there while it was well");
}

#[test]
fn what_a_fence_refused_is_done_in_the_other_region_whatever_it_is() {
    for repeat in [Repeat::Read, Repeat::Anywhere, Repeat::AtHome, Repeat::Never] {
        let mut refused = unpinned(repeat, &[(Eu, Loss::Fenced)]);
        assert!(refused.was_not_done());
        assert_eq!(refused.next(&WELL), Step::To(Us));
        assert_eq!(refused.next(&sight(Health::Healthy, Health::Unready, None)), Step::Pause, "the other one is not well");
        refused.lose(Us, Loss::Fenced);
        assert_eq!(refused.next(&WELL), Step::Pause, "a handover takes a moment");
        refused.rest();
        assert_eq!(refused.next(&WELL), Step::To(Eu));
        refused.lose(Eu, Loss::Fenced);
        refused.rest();
        assert_eq!(refused.next(&WELL), Step::To(Us));
    }
}

#[test]
fn an_order_stays_with_a_region_whose_lease_goes_on_for_some_seconds() {
    let goes_on = sight(Health::Healthy, Health::Healthy, Some(Eu));
    let mut order = unpinned(Repeat::AtHome, &[(Eu, Loss::Fenced)]);
    for _ in 1..PATIENCE {
        assert_eq!(order.next(&goes_on), Step::Pause);
        order.rest();
        assert_eq!(order.next(&goes_on), Step::To(Eu), "its cart is there");
        order.lose(Eu, Loss::Fenced);
    }
    assert_eq!(order.next(&goes_on), Step::To(Us), "it does not come back");
    let lost = unpinned(Repeat::AtHome, &[(Eu, Loss::Fenced)]);
    assert_eq!(lost.next(&sight(Health::Fenced, Health::Healthy, Some(Us))), Step::To(Us), "the lease went over");
    assert_eq!(unpinned(Repeat::Anywhere, &[(Eu, Loss::Fenced)]).next(&goes_on), Step::To(Us));
}

#[test]
fn what_a_fence_refused_in_a_pinned_region_waits_for_the_end_of_a_handover_alone() {
    let mut refused = after(choice(Eu, true), Repeat::AtHome, None, &[(Eu, Loss::Fenced)]);
    assert_eq!(refused.next(&WELL), Step::Pause);
    refused.rest();
    assert_eq!(refused.next(&WELL), Step::To(Eu));
    assert_eq!(refused.next(&sight(Health::Fenced, Health::Healthy, Some(Us))), Step::End);
    assert!(refused.was_not_done());
}

#[test]
fn a_pinned_region_that_went_down_is_not_asked_again_for_a_read() {
    let left = after(choice(Eu, true), Repeat::Read, None, &[(Eu, Loss::Left)]);
    assert_eq!((left.next(&WELL), left.verdict(LIMIT)), (Step::End, Error::RegionDown { pinned: Some(Eu) }));
    assert_eq!(after(choice(Eu, true), Repeat::Read, None, &[]).next(&sight(Health::Down, Health::Healthy, None)), Step::End);
}

#[test]
fn a_client_learns_where_its_write_may_have_been_done() {
    let error = unpinned(Repeat::AtHome, &[(Us, Loss::Broken), (Us, Loss::NotSent)]).verdict(LIMIT);
    assert_eq!(error, Error::OutcomeUnknown { region: Us, has_key: true });
    assert!(error.to_string().contains("region us") && error.to_string().contains("same Idempotency-Key"), "{error}");
    let unsent = [(Eu, Loss::NotSent), (Us, Loss::NotSent)];
    assert_eq!(unpinned(Repeat::Never, &unsent).verdict(LIMIT), Error::RegionDown { pinned: None });
    assert_eq!(after(choice(Eu, true), Repeat::Read, None, &unsent[..1]).verdict(LIMIT), Error::RegionDown { pinned: Some(Eu) });
    let late = unpinned(Repeat::Read, &[(Eu, Loss::Late)]).verdict(LIMIT);
    assert_eq!(late, Error::Timeout { region: Eu, limit: LIMIT });
}

fn region() -> impl Strategy<Value = Region> {
    prop::sample::select(Region::ALL.to_vec())
}

fn loss() -> impl Strategy<Value = Loss> {
    prop::sample::select(vec![Loss::NotSent, Loss::Fenced, Loss::Broken, Loss::Left, Loss::Late])
}

fn repeat() -> impl Strategy<Value = Repeat> {
    prop::sample::select(vec![Repeat::Read, Repeat::Anywhere, Repeat::AtHome, Repeat::Never])
}

fn any_sight() -> impl Strategy<Value = Sight> {
    use Health::{Down, Drained, Fenced, Healthy, Unknown, Unready};
    let health = || prop::sample::select(vec![Unknown, Healthy, Fenced, Drained, Unready, Down]);
    let holder = || prop::option::of(region());
    (health(), health(), holder(), holder(), region()).prop_map(|(eu, us, holder_of_eu, holder_of_us, nearest)| Sight {
        health: Both { eu, us },
        holder: Both { eu: holder_of_eu, us: holder_of_us },
        nearest,
    })
}

/// Goes on for as long as there is something to do; how each attempt ends, and how the regions are by then, is `course`. Returns what was
/// sent where, as what the region was known to be.
fn travel(mut journey: Journey, course: &[(Loss, Sight)]) -> (Journey, Vec<(Region, Loss, Sight)>) {
    let mut sent = Vec::new();
    for &(loss, sight) in course {
        match journey.next(&sight) {
            Step::To(region) => {
                sent.push((region, loss, sight));
                journey.lose(region, loss);
            }
            Step::Pause => journey.rest(),
            Step::Wait => {}
            Step::End => break,
        }
    }
    (journey, sent)
}

fn course() -> impl Strategy<Value = Vec<(Loss, Sight)>> {
    prop::collection::vec((loss(), any_sight()), 1..12)
}

proptest! {
    #[test]
    fn a_pin_is_never_left(region in region(), repeat in repeat(), course in course()) {
        let (_, sent) = travel(Journey::new(choice(region, true), repeat, None), &course);
        prop_assert!(sent.iter().all(|(at, ..)| *at == region));
    }

    #[test]
    fn an_order_that_may_be_done_reaches_the_other_region_only_when_that_holds_its_home(
        region in region(), had_by in prop::option::of(region()), course in course(),
    ) {
        let (_, sent) = travel(Journey::new(choice(region, false), Repeat::AtHome, had_by), &course);
        let mut doubt = had_by;
        for (at, loss, sight) in sent {
            if let Some(doubt) = doubt.filter(|doubt| *doubt != at) {
                prop_assert_eq!(sight.holder[doubt], Some(at));
            }
            if loss.is_doubtful() {
                doubt = Some(at);
            }
        }
    }

    #[test]
    fn without_a_key_what_may_be_done_is_not_sent_again(region in region(), is_pinned: bool, course in course()) {
        let (_, sent) = travel(Journey::new(choice(region, is_pinned), Repeat::Never, None), &course);
        let before_last = sent.len().saturating_sub(1);
        prop_assert!(sent[..before_last].iter().all(|(_, loss, _)| !loss.is_doubtful()));
    }

    #[test]
    fn doubt_about_a_write_is_always_told(
        region in region(), is_pinned: bool, repeat in repeat(), had_by in prop::option::of(region()), course in course(),
    ) {
        let had_by = had_by.filter(|_| repeat == Repeat::AtHome && !is_pinned);
        let (journey, sent) = travel(Journey::new(choice(region, is_pinned), repeat, had_by), &course);
        let is_doubtful = had_by.is_some() || sent.iter().any(|(_, loss, _)| loss.is_doubtful());
        let is_told = matches!(journey.verdict(LIMIT), Error::OutcomeUnknown { .. });
        prop_assert_eq!(is_told, is_doubtful && repeat != Repeat::Read);
        prop_assert!(!(journey.was_not_done() && is_told));
    }

    #[test]
    fn nobody_is_asked_twice_in_a_row_without_a_pause_but_once(region in region(), is_pinned: bool, repeat in repeat(), course in course()) {
        let mut journey = Journey::new(choice(region, is_pinned), repeat, None);
        let (mut last, mut has_rested, mut hasty) = (None, true, 0);
        for (loss, sight) in course {
            match journey.next(&sight) {
                Step::To(region) => {
                    hasty += u32::from(last == Some(region) && !has_rested);
                    (last, has_rested) = (Some(region), false);
                    journey.lose(region, loss);
                }
                Step::Pause => {
                    has_rested = true;
                    journey.rest();
                }
                Step::Wait => {}
                Step::End => break,
            }
        }
        prop_assert!(hasty <= 1);
    }
}
