//! The laws, and the operation log that says what a set must show.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{
    codec::{Limits, Malformed, Wire},
    laws::{self, Replica, Tried},
};

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Add(u64),
    Remove(u64),
    /// Adds forty elements from here on: a set large enough that deltas are joined by their changes.
    Fill(u64),
}

impl Tried for OrSet<u64> {
    fn ops() -> BoxedStrategy<Op> {
        prop_oneof![6 => (0..50_u64).prop_map(Op::Add), 5 => (0..50_u64).prop_map(Op::Remove), 1 => (0..10_u64).prop_map(Op::Fill)].boxed()
    }
}

impl Replica for OrSet<u64> {
    type Op = Op;
    type View = (BTreeSet<u64>, usize);

    fn act(&mut self, who: ReplicaId, op: &Op) -> Self {
        match op {
            Op::Add(element) => self.add(who, *element),
            Op::Remove(element) => self.remove(element),
            Op::Fill(first) => {
                (*first..first + 40).map(|element| self.add(who, element)).fold(Self::new(), |one, next| laws::joined(one, &next))
            }
        }
    }

    fn join(&mut self, other: &Self) {
        self.merge(other.clone());
    }

    fn since(&self, peer: &Self) -> Self {
        self.delta_since(peer.context())
    }

    fn view(&self) -> Self::View {
        assert!((0..60).all(|element| self.contains(&element) == self.iter().any(|held| *held == element)));
        (self.iter().copied().collect(), self.len())
    }
}

/// A log of operations with what each of them had observed: an element is in the set if the log has an add of it that was observed by no
/// later operation in the log, neither by a remove nor by an add that took its place.
#[derive(Debug, Clone, Default)]
struct Log {
    adds: BTreeMap<(ReplicaId, usize), u64>,
    observed: BTreeSet<(ReplicaId, usize)>,
}

impl Log {
    fn live(&self, element: u64) -> BTreeSet<(ReplicaId, usize)> {
        let of_element = self.adds.iter().filter(|(id, held)| **held == element && !self.observed.contains(id));
        of_element.map(|(id, _)| *id).collect()
    }

    fn remove(&mut self, element: u64) -> Self {
        let delta = Self { observed: self.live(element), ..Self::default() };
        self.join(&delta);
        delta
    }

    fn add(&mut self, who: ReplicaId, element: u64) -> Self {
        let mut delta = self.remove(element);
        let id = (who, self.adds.keys().filter(|(replica, _)| *replica == who).count());
        delta.adds.insert(id, element);
        self.join(&delta);
        delta
    }
}

impl Replica for Log {
    type Op = Op;
    type View = (BTreeSet<u64>, usize);

    fn act(&mut self, who: ReplicaId, op: &Op) -> Self {
        match op {
            Op::Add(element) => self.add(who, *element),
            Op::Remove(element) => self.remove(*element),
            Op::Fill(first) => {
                (*first..first + 40).map(|element| self.add(who, element)).fold(Self::default(), |one, next| laws::joined(one, &next))
            }
        }
    }

    fn join(&mut self, other: &Self) {
        self.adds.extend(&other.adds);
        self.observed.extend(&other.observed);
    }

    fn since(&self, _peer: &Self) -> Self {
        self.clone()
    }

    fn view(&self) -> Self::View {
        let shown: BTreeSet<u64> = self.adds.iter().filter(|(id, _)| !self.observed.contains(id)).map(|(_, element)| *element).collect();
        let len = shown.len();
        (shown, len)
    }
}

proptest! {
    #[test]
    fn the_laws_hold(steps in laws::steps::<OrSet<u64>>(), picks in laws::picks()) {
        laws::check(&laws::run::<OrSet<u64>>(&steps), &picks)?;
    }

    #[test]
    fn it_shows_what_the_log_shows(steps in laws::steps::<OrSet<u64>>()) {
        let (sets, logs) = (laws::run::<OrSet<u64>>(&steps), laws::run::<Log>(&steps));
        prop_assert_eq!(sets.views, logs.views);
        let shown = |one: &OrSet<u64>, log: &Log| (one.view(), log.view());
        for (set, log) in laws::healed(sets.replicas).iter().zip(&laws::healed(logs.replicas)) {
            let (set, log) = shown(set, log);
            prop_assert_eq!(set, log);
        }
    }

    #[test]
    fn both_maps_hold_the_same_dots(steps in laws::steps::<OrSet<u64>>()) {
        let run = laws::run::<OrSet<u64>>(&steps);
        for set in run.replicas.iter().chain(&run.messages) {
            let mut by_element: Vec<(Dot, u64)> =
                set.entries().into_iter().flat_map(|(element, dots)| dots.iter().map(|dot| (*dot, *element))).collect();
            by_element.sort_unstable();
            let Some(by_dot) = &set.by_dot else { continue };
            prop_assert!(by_dot.iter().all(|(dot, _)| set.context.contains(dot)));
            let by_dot = by_dot.iter().map(|(dot, slot)| (dot, set.elements.at(slot).unwrap().element));
            prop_assert!(by_dot.eq(by_element));
            prop_assert!(set.elements.iter().all(|held| held.dots.as_slice().is_sorted()));
            prop_assert_eq!(set.elements.iter().count(), set.len());
        }
    }

    #[test]
    fn merging_bytes_is_decoding_and_merging(mine in laws::steps::<OrSet<u64>>(), picks in laws::picks()) {
        let run = laws::run::<OrSet<u64>>(&mine);
        let all: Vec<&OrSet<u64>> = run.replicas.iter().chain(&run.messages).collect();
        for pick in picks.windows(2) {
            let (one, other) = (*pick[0].get(&all), *pick[1].get(&all));
            let (mut of_bytes, mut merged) = (one.clone(), one.clone());
            of_bytes.merge_bytes(&other.encode(), Limits::default()).unwrap();
            merged.merge(other.clone());
            prop_assert_eq!(of_bytes.encode(), merged.encode());
            prop_assert_eq!(of_bytes, merged);
        }
    }
}

const EU: ReplicaId = ReplicaId(1);
const US: ReplicaId = ReplicaId(2);

#[test]
fn an_add_wins_over_a_concurrent_remove() {
    let mut eu: OrSet<String> = OrSet::new();
    let mut us = eu.clone();
    us.merge(eu.add(EU, "mug".to_owned()));
    let removed = us.remove("mug");
    let added = eu.add(EU, "mug".to_owned());
    eu.merge(removed);
    us.merge(added);
    assert!(eu.contains("mug"));
    assert_eq!(eu, us);
}

#[test]
fn what_was_removed_does_not_come_back_with_a_late_delta() {
    let mut eu: OrSet<String> = OrSet::new();
    let (added, removed) = (eu.add(EU, "mug".to_owned()), eu.remove("mug"));
    let mut us = OrSet::new();
    us.merge(removed);
    us.merge(added.clone());
    us.merge(added);
    assert!(us.is_empty());
    assert_eq!(eu, us);
}

#[test]
fn a_delta_stays_small_beside_a_large_set() {
    let mut set: OrSet<u64> = OrSet::new();
    for element in 0..1000 {
        set.add(EU, element);
    }
    let mut other = set.clone();
    let delta = other.remove(&500);
    assert_eq!(delta.encode().len(), 8, "version; one replica, its id, one run, from 501, of one dot; no element");
    set.merge(delta);
    assert_eq!(set, other);
    assert_eq!(set.add(US, 500).encode().len(), 9, "version; one replica, its id, one run, of one dot; one element of two bytes; its dot");
}

#[test]
fn bytes_that_are_refused_change_nothing() {
    let (mut set, mut other) = (OrSet::<String>::new(), OrSet::<String>::new());
    set.add(EU, "mug".to_owned());
    other.add(US, "tea".to_owned());
    let before = set.clone();
    let bytes = other.encode();
    for cut in 0..bytes.len() {
        assert!(set.merge_bytes(&bytes[..cut], Limits::default()).is_err(), "cut short at {cut}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(set.merge_bytes(&longer, Limits::default()), Err(Malformed::Trailing));
    assert_eq!(set, before);
}

#[test]
fn a_state_with_a_long_history_is_merged_as_its_bytes_are() {
    let (mut set, mut other) = (OrSet::<u64>::new(), OrSet::<u64>::new());
    set.add(US, 1);
    for number in 0..5000 {
        other.add(EU, number % 3);
    }
    let mut of_bytes = set.clone();
    of_bytes.merge_bytes(&other.encode(), Limits::default()).unwrap();
    set.merge(other);
    assert_eq!(set, of_bytes);
    assert_eq!(set.len(), 3);
}
