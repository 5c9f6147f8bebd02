//! The laws of all types, checked on random schedules of three replicas whose messages are lost, repeated and reordered.
//!
//! A type is judged twice on the same schedule: by the laws of a join semilattice ([`check`]), and by a slow, obvious model of the same
//! type that must show the same after every step ([`run`] gives both traces).

use std::fmt::Debug;

use proptest::{prelude::*, sample::Index};

use crate::{ReplicaId, codec::Wire};

/// A replicated type under test, or its model.
pub(crate) trait Replica: Clone + Default {
    /// What can be done to it.
    type Op: Clone + Debug;
    /// What a user sees of it.
    type View: PartialEq + Debug;

    /// Does `op` in the name of `who`; returns the delta.
    fn act(&mut self, who: ReplicaId, op: &Self::Op) -> Self;
    fn join(&mut self, other: &Self);
    /// What `peer` lacks of this.
    fn since(&self, peer: &Self) -> Self;
    fn view(&self) -> Self::View;
}

pub(crate) const REPLICAS: usize = 3;

/// One step of a schedule. Replicas are numbered from 0; messages are the deltas sent so far, each to be delivered any number of times.
#[derive(Debug, Clone)]
pub(crate) enum Step<Op> {
    Act { at: usize, op: Op },
    Deliver { message: Index, to: usize },
    Bundle { one: Index, other: Index },
    SendState { from: usize, to: usize },
    AntiEntropy { from: usize, to: usize },
}

/// A type of this crate, with random operations to try it with.
pub(crate) trait Tried: Replica + Wire + PartialEq + Debug {
    fn ops() -> BoxedStrategy<Self::Op>;
}

/// Random schedules.
pub(crate) fn steps<R: Tried<Op: 'static>>() -> impl Strategy<Value = Vec<Step<R::Op>>> {
    let at = || 0..REPLICAS;
    let step = prop_oneof![
        8 => (at(), R::ops()).prop_map(|(at, op)| Step::Act { at, op }),
        8 => (any::<Index>(), at()).prop_map(|(message, to)| Step::Deliver { message, to }),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Step::Bundle { one, other }),
        1 => (at(), at()).prop_map(|(from, to)| Step::SendState { from, to }),
        1 => (at(), at()).prop_map(|(from, to)| Step::AntiEntropy { from, to }),
    ];
    prop::collection::vec(step, 0..60)
}

/// A random state or delta: what some schedule leaves behind.
pub(crate) fn values<R: Tried<Op: 'static>>() -> impl Strategy<Value = R> {
    (steps::<R>(), any::<Index>()).prop_map(|(steps, pick)| {
        let Run { replicas, messages, .. } = run::<R>(&steps);
        let all: Vec<R> = replicas.into_iter().chain(messages).collect();
        pick.get(&all).clone()
    })
}

/// What a schedule leaves behind.
pub(crate) struct Run<R: Replica> {
    pub(crate) replicas: [R; REPLICAS],
    /// The deltas, in the order in which they were made.
    pub(crate) messages: Vec<R>,
    /// What the replica of each step showed after it.
    pub(crate) views: Vec<R::View>,
}

/// The name under which replica `at` writes.
pub(crate) fn id(at: usize) -> ReplicaId {
    ReplicaId(u32::try_from(at).unwrap() * 3 + 1)
}

pub(crate) fn run<R: Replica>(steps: &[Step<R::Op>]) -> Run<R> {
    let mut replicas: [R; REPLICAS] = Default::default();
    let (mut messages, mut views) = (Vec::new(), Vec::new());
    for step in steps {
        let shown = match step {
            Step::Act { at, op } => {
                messages.push(replicas[*at].act(id(*at), op));
                *at
            }
            Step::Deliver { message, to } => {
                if !messages.is_empty() {
                    replicas[*to].join(message.get(&messages));
                }
                *to
            }
            Step::Bundle { one, other } => {
                if !messages.is_empty() {
                    messages.push(joined(one.get(&messages).clone(), other.get(&messages)));
                }
                0
            }
            Step::SendState { from, to } => {
                let state = replicas[*from].clone();
                replicas[*to].join(&state);
                *to
            }
            Step::AntiEntropy { from, to } => {
                let delta = replicas[*from].since(&replicas[*to]);
                replicas[*to].join(&delta);
                *to
            }
        };
        views.push(replicas[shown].view());
    }
    Run { replicas, messages, views }
}

/// All replicas after anti-entropy between each two, twice: then each has heard of everything.
pub(crate) fn healed<R: Replica>(mut replicas: [R; REPLICAS]) -> [R; REPLICAS] {
    for round in 0..2 * REPLICAS {
        for to in 0..REPLICAS {
            let delta = replicas[round % REPLICAS].since(&replicas[to]);
            replicas[to].join(&delta);
        }
    }
    replicas
}

pub(crate) fn joined<R: Replica>(mut one: R, other: &R) -> R {
    one.join(other);
    one
}

/// Checks every law on what a schedule leaves behind. `picks` choose among its states and deltas.
pub(crate) fn check<R: Tried>(run: &Run<R>, picks: &[Index]) -> Result<(), TestCaseError> {
    let all: Vec<&R> = run.replicas.iter().chain(&run.messages).collect();
    for pick in picks.windows(3) {
        let [a, b, c] = [0, 1, 2].map(|index| *pick[index].get(&all));
        let ab = joined(a.clone(), b);
        prop_assert_eq!(&ab, &joined(b.clone(), a), "merge is commutative");
        prop_assert_eq!(joined(ab.clone(), c), joined(a.clone(), &joined(b.clone(), c)), "merge is associative");
        prop_assert_eq!(&joined(ab.clone(), &ab), &ab, "merge is idempotent");
        prop_assert_eq!(&joined(ab.clone(), b), &ab, "merge goes up only");
        prop_assert_eq!(joined(a.clone(), &b.since(a)), ab, "anti-entropy does what the whole state does");
    }
    let state = run.replicas.iter().fold(R::default(), joined);
    let deltas = run.messages.iter().fold(R::default(), joined);
    let shuffled = picks.iter().map(|pick| *pick.get(&all)).chain(run.messages.iter().rev()).fold(R::default(), joined);
    prop_assert_eq!(&deltas, &state, "the deltas make the state");
    prop_assert_eq!(&shuffled, &state, "in any order, with repeats");
    for replica in healed(run.replicas.clone()) {
        prop_assert_eq!(&replica, &state, "anti-entropy repairs what was lost");
        prop_assert_eq!(replica.encode(), state.encode(), "equal states have equal bytes");
    }
    Ok(())
}

/// Picks for [`check`].
pub(crate) fn picks() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 12)
}
