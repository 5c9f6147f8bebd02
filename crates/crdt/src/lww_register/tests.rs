//! The laws, and the log of all writes.

use proptest::prelude::*;

use super::*;
use crate::laws::{self, Replica, Tried};

impl Tried for LwwRegister<String> {
    /// Few timestamps and texts, so that equal ones meet.
    fn ops() -> BoxedStrategy<(u64, String)> {
        (0..4_u64, "[a-c]{0,2}").boxed()
    }
}

impl Replica for LwwRegister<String> {
    type Op = (u64, String);
    type View = Option<String>;

    fn act(&mut self, who: ReplicaId, (timestamp, text): &Self::Op) -> Self {
        self.set(who, *timestamp, text.clone())
    }

    fn join(&mut self, other: &Self) {
        self.merge(other);
    }

    fn since(&self, _peer: &Self) -> Self {
        self.clone()
    }

    fn view(&self) -> Option<String> {
        self.get().cloned()
    }
}

/// All writes: the highest is shown.
#[derive(Debug, Clone, Default)]
struct Log(Vec<(u64, ReplicaId, String)>);

impl Replica for Log {
    type Op = (u64, String);
    type View = Option<String>;

    fn act(&mut self, who: ReplicaId, (timestamp, text): &Self::Op) -> Self {
        let delta = Self(vec![(*timestamp, who, text.clone())]);
        self.join(&delta);
        delta
    }

    fn join(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
        self.0.sort();
        self.0.dedup();
    }

    fn since(&self, _peer: &Self) -> Self {
        self.clone()
    }

    fn view(&self) -> Option<String> {
        self.0.last().map(|(_, _, text)| text.clone())
    }
}

proptest! {
    #[test]
    fn the_laws_hold(steps in laws::steps::<LwwRegister<String>>(), picks in laws::picks()) {
        laws::check(&laws::run::<LwwRegister<String>>(&steps), &picks)?;
    }

    #[test]
    fn it_shows_the_last_of_the_log(steps in laws::steps::<LwwRegister<String>>()) {
        prop_assert_eq!(laws::run::<LwwRegister<String>>(&steps).views, laws::run::<Log>(&steps).views);
    }
}

#[test]
fn two_writes_under_one_stamp_have_one_winner() {
    let (mut one, mut other) = (LwwRegister::new(), LwwRegister::new());
    let (a, b) = (one.set(ReplicaId(1), 5, "a"), other.set(ReplicaId(1), 5, "b"));
    one.merge(&b);
    other.merge(&a);
    assert_eq!((one.get(), other.get()), (Some(&"b"), Some(&"b")));
    one.set(ReplicaId(1), 4, "late");
    assert_eq!((one.get(), one.timestamp()), (Some(&"b"), Some(5)));
}
