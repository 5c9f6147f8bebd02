//! The workload: what three replicas do to one set, and what the set then holds. Everything follows from the seed.
//!
//! ```text
//! round   eu: 100 changes ─┐          each replica makes its changes apart, then all tell all what is new
//!         us: 100 changes ─┼─ exchange
//!         ap: 100 changes ─┘
//! ```
//! At the end two of them go on apart without telling anything, for the merge of two whole states.
//!
//! An add takes any of the keys, also one that is there; a remove takes one that its replica then holds. Which keys those are is known from
//! a model of the set, as slow and obvious as can be: it is what every library's members are compared with.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub(crate) const REPLICAS: usize = 3;

/// How much there is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Changes of all replicas together, before two of them go on apart.
    pub(crate) changes: usize,
    /// Changes of one replica between two exchanges.
    pub(crate) batch: usize,
    pub(crate) keys: usize,
    /// Of 100 changes, so many are adds.
    pub(crate) adds: usize,
    /// Changes of each of two replicas behind the last exchange.
    pub(crate) apart: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum Change {
    Add(Arc<str>),
    Remove(Arc<str>),
}

/// What each replica does between two exchanges.
pub(crate) type Round = [Vec<Change>; REPLICAS];

#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) rounds: Vec<Round>,
    /// What the set holds after the last exchange, when an add wins over a concurrent remove.
    pub(crate) members: BTreeSet<Arc<str>>,
    /// What the first and the second replica do then.
    pub(crate) apart: [Vec<Change>; 2],
    /// What the set holds when those two are merged.
    pub(crate) members_apart: BTreeSet<Arc<str>>,
}

/// An add: replica, number.
type Name = (usize, u64);

/// The model: the adds of each key that no change has seen.
#[derive(Debug, Clone, Default)]
struct Model(BTreeMap<usize, BTreeSet<Name>>);

/// What a change says to a model: the adds of `key` that it has seen, and its own if it is one.
#[derive(Debug, Clone)]
struct Told {
    key: usize,
    seen: BTreeSet<Name>,
    added: Option<Name>,
}

impl Model {
    fn hear(&mut self, told: &Told) {
        let adds = self.0.entry(told.key).or_default();
        adds.retain(|add| !told.seen.contains(add));
        adds.extend(told.added);
        if adds.is_empty() {
            self.0.remove(&told.key);
        }
    }

    fn members(&self, keys: &[Arc<str>]) -> BTreeSet<Arc<str>> {
        self.0.keys().map(|key| keys[*key].clone()).collect()
    }
}

/// Random changes, and the models of the replicas that make them.
struct Author {
    size: Size,
    random: Random,
    keys: Vec<Arc<str>>,
    models: [Model; REPLICAS],
    named: u64,
}

impl Author {
    fn changes(&mut self, replica: usize, count: usize) -> (Vec<Change>, Vec<Told>) {
        (0..count).map(|_| self.change(replica)).unzip()
    }

    fn change(&mut self, replica: usize) -> (Change, Told) {
        let model = &self.models[replica];
        let is_add = self.random.below(100) < self.size.adds || model.0.is_empty();
        let held = model.0.len();
        let key = if is_add { self.random.below(self.size.keys) } else { *model.0.keys().nth(self.random.below(held)).unwrap_or(&0) };
        let seen = model.0.get(&key).cloned().unwrap_or_default();
        self.named += 1;
        let told = Told { key, seen, added: is_add.then_some((replica, self.named)) };
        self.models[replica].hear(&told);
        let name = self.keys[key].clone();
        (if is_add { Change::Add(name) } else { Change::Remove(name) }, told)
    }

    /// What one replica did comes to another.
    fn tell(&mut self, told: &[Vec<Told>], to: usize) {
        for (_, told) in told.iter().enumerate().filter(|(from, _)| *from != to) {
            told.iter().for_each(|told| self.models[to].hear(told));
        }
    }
}

impl Workload {
    pub(crate) fn new(seed: u64, size: Size) -> Self {
        let keys: Vec<Arc<str>> = (0..size.keys).map(|key| format!("SKU-{:05}", key * 37 % 100_000).into()).collect();
        let mut author = Author { size, random: Random(seed), keys, models: Default::default(), named: 0 };
        let mut rounds = Vec::new();
        let mut left = size.changes;
        while left > 0 {
            let mut round = Round::default();
            let mut told = Vec::new();
            for (replica, changes) in round.iter_mut().enumerate() {
                let count = left.min(size.batch);
                left -= count;
                let (done, of_replica) = author.changes(replica, count);
                *changes = done;
                told.push(of_replica);
            }
            (0..REPLICAS).for_each(|to| author.tell(&told, to));
            rounds.push(round);
        }
        let members = author.models[0].members(&author.keys);
        let ((first, _), (second, told)) = (author.changes(0, size.apart), author.changes(1, size.apart));
        author.tell(&[Vec::new(), told], 0);
        let members_apart = author.models[0].members(&author.keys);
        Self { rounds, members, apart: [first, second], members_apart }
    }

    pub(crate) fn changes(&self) -> usize {
        self.rounds.iter().flatten().map(Vec::len).sum()
    }
}

/// `SplitMix64`: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `bound - 1`.
    fn below(&mut self, bound: usize) -> usize {
        let product = u128::from(self.next()) * bound as u128;
        usize::try_from(product >> 64).expect("less than the bound")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { changes: 1000, batch: 50, keys: 100, adds: 60, apart: 100 };

    #[test]
    fn one_seed_makes_one_workload() {
        let [one, same, other] = [1, 1, 2].map(|seed| format!("{:?}", Workload::new(seed, SIZE)));
        assert_eq!(one, same);
        assert_ne!(one, other);
    }

    #[test]
    fn all_changes_are_there_and_the_set_is_neither_empty_nor_full() {
        let workload = Workload::new(1, SIZE);
        assert_eq!(workload.changes(), 1000);
        assert!((10..90).contains(&workload.members.len()), "{}", workload.members.len());
    }
}
