//! The laws, and the log of all writes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::laws::{self, Replica, Tried};

impl Tried for MvRegister<String> {
    fn ops() -> BoxedStrategy<String> {
        "[a-d]".boxed()
    }
}

impl Replica for MvRegister<String> {
    type Op = String;
    type View = Vec<String>;

    fn act(&mut self, who: ReplicaId, text: &String) -> Self {
        self.set(who, text.clone())
    }

    fn join(&mut self, other: &Self) {
        self.merge(other);
    }

    fn since(&self, peer: &Self) -> Self {
        self.delta_since(peer.context())
    }

    fn view(&self) -> Vec<String> {
        self.values().into_iter().cloned().collect()
    }
}

/// All writes, and those that a later one has replaced.
#[derive(Debug, Clone, Default)]
struct Log {
    writes: BTreeMap<(ReplicaId, usize), String>,
    replaced: BTreeSet<(ReplicaId, usize)>,
}

impl Replica for Log {
    type Op = String;
    type View = Vec<String>;

    fn act(&mut self, who: ReplicaId, text: &String) -> Self {
        let id = (who, self.writes.keys().filter(|(replica, _)| *replica == who).count());
        let replaced = self.writes.keys().filter(|id| !self.replaced.contains(id)).copied().collect();
        let delta = Self { writes: BTreeMap::from([(id, text.clone())]), replaced };
        self.join(&delta);
        delta
    }

    fn join(&mut self, other: &Self) {
        self.writes.extend(other.writes.clone());
        self.replaced.extend(&other.replaced);
    }

    fn since(&self, _peer: &Self) -> Self {
        self.clone()
    }

    fn view(&self) -> Vec<String> {
        let live = self.writes.iter().filter(|(id, _)| !self.replaced.contains(id));
        live.map(|(_, text)| text.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

proptest! {
    #[test]
    fn the_laws_hold(steps in laws::steps::<MvRegister<String>>(), picks in laws::picks()) {
        laws::check(&laws::run::<MvRegister<String>>(&steps), &picks)?;
    }

    #[test]
    fn it_shows_what_no_write_of_the_log_has_replaced(steps in laws::steps::<MvRegister<String>>()) {
        prop_assert_eq!(laws::run::<MvRegister<String>>(&steps).views, laws::run::<Log>(&steps).views);
    }
}

#[test]
fn concurrent_writes_stay_side_by_side_until_the_next() {
    let mut eu = MvRegister::new();
    let mut us = eu.clone();
    let (from_eu, from_us) = (eu.set(ReplicaId(1), "Main St 1"), us.set(ReplicaId(2), "Elm St 2"));
    eu.merge(&from_us);
    us.merge(&from_eu);
    assert_eq!(eu.values(), [&"Elm St 2", &"Main St 1"]);
    us.merge(&eu.set(ReplicaId(1), "Main St 1"));
    assert_eq!(us.values(), [&"Main St 1"]);
}
