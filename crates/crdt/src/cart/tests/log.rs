//! The laws of the cart, and the log of contributions that says what a cart must show.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::{
    Cart, ReplicaId, SourceId,
    cart::lines::FOLD,
    laws::{self, Replica, Tried},
};

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Set(usize, u32),
    Change(usize, i32),
    /// As many changes as lead to a fold.
    Repeat(usize, i32),
    Remove(usize),
    Clear,
    Note(u64, String),
    Address(String),
    Absorb(u128),
}

const SKUS: [&str; 4] = ["cup", "mug", "mug-2", "tea"];

impl Tried for Cart {
    fn ops() -> BoxedStrategy<Op> {
        let sku = || 0..SKUS.len();
        let op = prop_oneof![
            4 => (sku(), 0..5_u32).prop_map(|(sku, quantity)| Op::Set(sku, quantity)),
            8 => (sku(), -3..5_i32).prop_map(|(sku, by)| Op::Change(sku, by)),
            1 => (sku(), -1..3_i32).prop_map(|(sku, by)| Op::Repeat(sku, by)),
            3 => sku().prop_map(Op::Remove),
            1 => Just(Op::Clear),
            1 => (0..4_u64, "[ab]").prop_map(|(timestamp, text)| Op::Note(timestamp, text)),
            1 => "[ab]".prop_map(Op::Address),
            2 => (0..2_u128).prop_map(Op::Absorb),
        ];
        op.boxed()
    }
}

/// What replica `who` knows of the anonymous cart `source`. Each knows another state of it, and cart 1 has absorbed cart 0.
fn anonymous<R: Replica<Op = Op>>(source: u128, who: ReplicaId) -> R {
    let mut cart = R::default();
    let first = ReplicaId(99);
    cart.act(first, &Op::Set(0, 2));
    cart.act(first, &Op::Change(1, 1));
    if source == 1 {
        cart.act(first, &Op::Absorb(0));
    }
    if who == laws::id(1) {
        cart.act(who, &Op::Change(0, 1));
        cart.act(who, &Op::Remove(1));
    }
    if who == laws::id(2) {
        cart.act(who, &Op::Change(1, -1));
        cart.act(who, &Op::Change(2, 3));
        cart.act(who, &Op::Address("c".to_owned()));
    }
    cart
}

impl Replica for Cart {
    type Op = Op;
    type View = View;

    fn act(&mut self, who: ReplicaId, op: &Op) -> Self {
        match op {
            Op::Set(sku, quantity) => self.set(who, SKUS[*sku], *quantity),
            Op::Change(sku, by) => self.change(who, SKUS[*sku], *by),
            Op::Repeat(sku, by) => repeated(self, who, &Op::Change(*sku, *by)),
            Op::Remove(sku) => self.remove(SKUS[*sku]),
            Op::Clear => self.clear(),
            Op::Note(timestamp, text) => self.set_note(who, *timestamp, text.clone()),
            Op::Address(text) => self.set_address(who, text.clone()),
            Op::Absorb(source) => self.absorb(SourceId(*source), &anonymous(*source, who)),
        }
    }

    fn join(&mut self, other: &Self) {
        self.merge(other);
    }

    fn since(&self, peer: &Self) -> Self {
        self.delta_since(peer.context())
    }

    fn view(&self) -> View {
        let lines: Vec<(String, i64)> = self.lines().into_iter().map(|(sku, count)| (sku.to_owned(), count)).collect();
        for sku in SKUS {
            let line = lines.iter().find(|(shown, _)| shown == sku);
            assert_eq!(self.quantity(sku), line.map_or(0, |(_, count)| *count));
        }
        (lines, self.note().map(str::to_owned), self.address().into_iter().map(str::to_owned).collect())
    }
}

/// Lines, note, addresses.
pub(crate) type View = (Vec<(String, i64)>, Option<String>, Vec<String>);

fn repeated<R: Replica<Op = Op>>(cart: &mut R, who: ReplicaId, op: &Op) -> R {
    (0..=FOLD).map(|_| cart.act(who, op)).fold(R::default(), |one, next| laws::joined(one, &next))
}

/// The cart it was made in, if absorbed; its writer; its number there.
type Id = (Option<u128>, ReplicaId, usize);

/// A quantity that was set, or a change.
type Said = Result<u32, i32>;

/// Everything that was ever contributed, and what was removed of it. Only grows.
#[derive(Debug, Clone, Default)]
struct Log {
    contributions: BTreeMap<Id, (usize, Said)>,
    addresses: BTreeMap<Id, String>,
    removed: BTreeSet<Id>,
    notes: BTreeSet<(u64, ReplicaId, String)>,
}

impl Log {
    /// The contributions to a line that are left.
    fn live(&self, sku: usize) -> impl Iterator<Item = (Id, Said)> {
        let left = self.contributions.iter().filter(move |(id, (of, _))| *of == sku && !self.removed.contains(id));
        left.map(|(id, (_, said))| (*id, *said))
    }

    fn quantity(&self, sku: usize) -> i64 {
        let mut carts: BTreeMap<Option<u128>, (i64, i64)> = BTreeMap::new();
        for ((cart, ..), said) in self.live(sku) {
            let (set, changed) = carts.entry(cart).or_default();
            match said {
                Ok(quantity) => *set = (*set).max(i64::from(quantity)),
                Err(by) => *changed += i64::from(by),
            }
        }
        let shown = carts.iter().map(|(cart, (set, changed))| if cart.is_some() { (set + changed).max(0) } else { set + changed });
        shown.sum::<i64>().max(0)
    }

    fn fresh(&self, who: ReplicaId) -> Id {
        let ids = self.contributions.keys().chain(self.addresses.keys());
        (None, who, ids.filter(|(cart, replica, _)| cart.is_none() && *replica == who).count())
    }

    fn change(&self, who: ReplicaId, sku: usize, by: i32) -> Self {
        let (mut delta, shown) = (Self::default(), self.quantity(sku));
        if by == 0 {
            return delta;
        }
        let left = shown + i64::from(by);
        if shown == 0 || left <= 0 {
            delta.removed = self.live(sku).map(|(id, _)| id).collect();
        }
        if left > 0 {
            let is_own = |(cart, replica, _): Id| cart.is_none() && replica == who;
            let left = self.live(sku).filter(|(id, _)| is_own(*id) && !delta.removed.contains(id));
            let own: Vec<(Id, i32)> = left.filter_map(|(id, said)| Some((id, said.err()?))).collect();
            let mut amount = by;
            if own.len() >= FOLD {
                amount += own.iter().map(|(_, amount)| amount).sum::<i32>();
                delta.removed.extend(own.iter().map(|(id, _)| *id));
            }
            if amount != 0 {
                delta.contributions.insert(self.fresh(who), (sku, Err(amount)));
            }
        }
        delta
    }

    /// This log as seen from a cart that absorbs it as `source`.
    fn absorbed(self, source: u128) -> Self {
        let id = |(cart, replica, number): Id| (cart.or(Some(source)), replica, number);
        Self {
            contributions: self.contributions.into_iter().map(|(key, line)| (id(key), line)).collect(),
            removed: self.removed.into_iter().map(id).collect(),
            ..Self::default()
        }
    }
}

impl Replica for Log {
    type Op = Op;
    type View = View;

    fn act(&mut self, who: ReplicaId, op: &Op) -> Self {
        let mut delta = Self::default();
        match op {
            Op::Repeat(sku, by) => return repeated(self, who, &Op::Change(*sku, *by)),
            Op::Change(sku, by) => delta = self.change(who, *sku, *by),
            Op::Set(sku, quantity) => {
                delta.removed = self.live(*sku).map(|(id, _)| id).collect();
                if *quantity > 0 {
                    delta.contributions.insert(self.fresh(who), (*sku, Ok(*quantity)));
                }
            }
            Op::Remove(sku) => delta.removed = self.live(*sku).map(|(id, _)| id).collect(),
            Op::Clear => delta.removed = (0..SKUS.len()).flat_map(|sku| self.live(sku)).map(|(id, _)| id).collect(),
            Op::Note(timestamp, text) => drop(delta.notes.insert((*timestamp, who, text.clone()))),
            Op::Address(text) => {
                delta.removed = self.addresses.keys().filter(|id| !self.removed.contains(id)).copied().collect();
                delta.addresses.insert(self.fresh(who), text.clone());
            }
            Op::Absorb(source) => delta = anonymous::<Self>(*source, who).absorbed(*source),
        }
        self.join(&delta);
        delta
    }

    fn join(&mut self, other: &Self) {
        self.contributions.extend(&other.contributions);
        self.addresses.extend(other.addresses.clone());
        self.removed.extend(&other.removed);
        self.notes.extend(other.notes.iter().cloned());
    }

    fn since(&self, _peer: &Self) -> Self {
        self.clone()
    }

    fn view(&self) -> View {
        let lines = (0..SKUS.len()).map(|sku| (SKUS[sku].to_owned(), self.quantity(sku))).filter(|(_, count)| *count > 0);
        let live = self.addresses.iter().filter(|(id, _)| !self.removed.contains(id));
        let addresses: BTreeSet<String> = live.map(|(_, text)| text.clone()).collect();
        (lines.collect(), self.notes.last().map(|(_, _, text)| text.clone()), addresses.into_iter().collect())
    }
}

proptest! {
    #[test]
    fn the_laws_hold(steps in laws::steps::<Cart>(), picks in laws::picks()) {
        laws::check(&laws::run::<Cart>(&steps), &picks)?;
    }

    #[test]
    fn it_shows_what_the_log_shows(steps in laws::steps::<Cart>()) {
        let (carts, logs) = (laws::run::<Cart>(&steps), laws::run::<Log>(&steps));
        prop_assert_eq!(carts.views, logs.views);
        for (cart, log) in laws::healed(carts.replicas).iter().zip(&laws::healed(logs.replicas)) {
            prop_assert_eq!(cart.view(), log.view());
        }
    }
}
