//! The laws, and the log of all changes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::laws::{self, Replica, Tried};

impl Tried for PnCounter {
    fn ops() -> BoxedStrategy<i64> {
        (-9..9_i64).boxed()
    }
}

impl Replica for PnCounter {
    type Op = i64;
    type View = i64;

    fn act(&mut self, who: ReplicaId, by: &i64) -> Self {
        self.add(who, *by).unwrap()
    }

    fn join(&mut self, other: &Self) {
        self.merge(other);
    }

    fn since(&self, peer: &Self) -> Self {
        self.delta_since(peer)
    }

    fn view(&self) -> i64 {
        self.value().unwrap()
    }
}

/// Every change of a replica, in order. A message holds all of that replica's, as a counter's delta does.
#[derive(Debug, Clone, Default)]
struct Log(BTreeMap<ReplicaId, Vec<i64>>);

impl Replica for Log {
    type Op = i64;
    type View = i64;

    fn act(&mut self, who: ReplicaId, by: &i64) -> Self {
        if *by == 0 {
            return Self::default();
        }
        let changes = self.0.entry(who).or_default();
        changes.push(*by);
        Self(BTreeMap::from([(who, changes.clone())]))
    }

    fn join(&mut self, other: &Self) {
        for (replica, theirs) in &other.0 {
            let mine = self.0.entry(*replica).or_default();
            if theirs.len() > mine.len() {
                mine.clone_from(theirs);
            }
        }
    }

    fn since(&self, _peer: &Self) -> Self {
        self.clone()
    }

    fn view(&self) -> i64 {
        self.0.values().flatten().sum()
    }
}

proptest! {
    #[test]
    fn the_laws_hold(steps in laws::steps::<PnCounter>(), picks in laws::picks()) {
        laws::check(&laws::run::<PnCounter>(&steps), &picks)?;
    }

    #[test]
    fn it_shows_the_sum_of_the_log(steps in laws::steps::<PnCounter>()) {
        prop_assert_eq!(laws::run::<PnCounter>(&steps).views, laws::run::<Log>(&steps).views);
    }
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let (eu, us) = (ReplicaId(1), ReplicaId(2));
    let mut counter = PnCounter::new();
    counter.add(eu, i64::MAX).unwrap();
    counter.add(us, i64::MAX).unwrap();
    assert_eq!(counter.value(), Err(Overflow), "the sum is past 64 bits");
    counter.add(us, -i64::MAX).unwrap();
    assert_eq!(counter.value(), Ok(i64::MAX));
    counter.add(eu, i64::MAX).unwrap();
    let before = counter.clone();
    assert_eq!(counter.add(eu, 2), Err(Overflow), "the replica's total is past 64 bits");
    assert_eq!(counter, before);
    assert_eq!(PnCounter::new().add(eu, i64::MIN).and_then(|counter| counter.value()), Ok(i64::MIN));
}
