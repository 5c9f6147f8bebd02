//! Against a set of dots.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn dot(replica: u32, counter: u64) -> Dot {
    Dot::new(ReplicaId(replica), counter).unwrap()
}

fn dots() -> impl Strategy<Value = BTreeSet<Dot>> {
    prop::collection::btree_set((0..3_u32, 1..30_u64).prop_map(|(replica, counter)| dot(replica, counter)), 0..60)
}

fn context(dots: &BTreeSet<Dot>) -> Context {
    dots.iter().copied().collect()
}

#[test]
fn a_gap_that_closes_leaves_one_run() {
    let mut context = Context::new();
    for counter in [1, 2, 5, 4] {
        assert!(context.insert(dot(7, counter)));
    }
    assert_eq!(context.runs().len(), 2);
    assert!(context.insert(dot(7, 3)));
    assert_eq!(context.runs(), [Run { replica: ReplicaId(7), first: 1, last: 5 }]);
    assert!(!context.insert(dot(7, 3)));
    assert_eq!(context.next_dot(ReplicaId(7)), dot(7, 6));
    assert_eq!(context.next_dot(ReplicaId(6)), dot(6, 1));
}

#[test]
fn a_dot_starts_at_one_and_ends_somewhere() {
    assert_eq!(Dot::new(ReplicaId(1), 0), None);
    assert_eq!(Dot::new(ReplicaId(1), Dot::LAST_COUNTER + 1), None);
    assert_eq!(dot(1, Dot::LAST_COUNTER).counter(), Dot::LAST_COUNTER);
}

proptest! {
    #[test]
    fn it_is_a_set_of_dots(mine in dots(), theirs in dots(), probe in (0..3_u32, 1..32_u64)) {
        let (one, other) = (context(&mine), context(&theirs));
        let probe = dot(probe.0, probe.1);
        prop_assert_eq!(one.contains(probe), mine.contains(&probe));
        prop_assert_eq!(one.len(), u64::try_from(mine.len()).unwrap());
        prop_assert_eq!(one.includes(&other), mine.is_superset(&theirs));
        prop_assert_eq!(one.missing(&other), context(&theirs.difference(&mine).copied().collect()));
        let next = one.next_dot(probe.replica());
        prop_assert!(mine.iter().all(|seen| seen.replica() != next.replica() || *seen < next));
        let mut both = one;
        both.merge(&other);
        prop_assert_eq!(both, context(&mine.union(&theirs).copied().collect()));
    }

    #[test]
    fn the_order_of_arrival_leaves_no_trace(dots in dots().prop_map(Vec::from_iter).prop_shuffle()) {
        let mut context = Context::new();
        for dot in &dots {
            prop_assert!(context.insert(*dot));
        }
        prop_assert!(context.runs().windows(2).all(|pair| pair[0].replica < pair[1].replica || pair[0].last + 1 < pair[1].first));
        prop_assert_eq!(context, dots.iter().copied().collect());
    }
}
