//! Against a slow, obvious reference: every revision is a whole copy of the keys.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::wire::{
    etcdserverpb::{
        Compare, LeaseGrantRequest, LeaseRevokeRequest, RangeRequest, RequestOp, TxnRequest,
        compare::{CompareResult, CompareTarget, TargetUnion},
        request_op::Request,
    },
    mvccpb::{Event, event::EventType},
};

type Keys = BTreeMap<Bytes, KeyValue>;

/// All states there have been, by revision.
struct Reference {
    states: Vec<Keys>,
    compacted: i64,
    leases: BTreeMap<i64, ()>,
}

impl Reference {
    fn now(&self) -> &Keys {
        self.states.last().expect("there is always a state")
    }

    fn revision(&self) -> i64 {
        i64::try_from(self.states.len()).expect("few states")
    }

    fn put(keys: &mut Keys, revision: i64, key: &Bytes, value: Bytes, lease: i64) {
        let before = keys.get(key).cloned();
        let kv = KeyValue {
            key: key.clone(),
            value,
            lease,
            mod_revision: revision,
            create_revision: before.as_ref().map_or(revision, |kv| kv.create_revision),
            version: before.map_or(1, |kv| kv.version + 1),
        };
        keys.insert(key.clone(), kv);
    }

    fn step(&mut self, change: impl FnOnce(&mut Keys, i64)) {
        let (mut keys, next) = (self.now().clone(), self.revision() + 1);
        change(&mut keys, next);
        if keys != *self.now() {
            self.states.push(keys);
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u8, i64),
    Delete(u8, u8),
    Grant(i64),
    Revoke(i64),
    /// If the first key is at that version, then put the second and delete a range, else put the third.
    Txn(u8, i64, u8, (u8, u8), u8),
    Compact(i64),
    Restore,
}

fn key(number: u8) -> Bytes {
    Bytes::from(vec![b'a' + number])
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u8..6, any::<u8>(), 0i64..3).prop_map(|(key, value, lease)| Step::Put(key, value, lease)),
        3 => (0u8..6, 0u8..7).prop_map(|(from, end)| Step::Delete(from, end)),
        2 => (1i64..3).prop_map(Step::Grant),
        1 => (1i64..3).prop_map(Step::Revoke),
        4 => (0u8..6, 0i64..3, 0u8..3, (3u8..5, 5u8..7), 0u8..6).prop_map(|(of, at, put, gone, other)| Step::Txn(of, at, put, gone, other)),
        1 => (0i64..4).prop_map(Step::Compact),
        1 => Just(Step::Restore),
    ];
    prop::collection::vec(step, 1..60)
}

fn put(key: Bytes, value: Bytes, lease: i64) -> PutRequest {
    PutRequest { key, value, lease, ..PutRequest::default() }
}

fn apply(mvcc: &mut Mvcc, change: Change) -> Result<Reply, Refusal> {
    mvcc.apply(Command { change: Some(change) })
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn run(mvcc: &mut Mvcc, reference: &mut Reference, step: &Step) {
    match *step {
        Step::Put(number, value, lease) => {
            let (key, value) = (key(number), Bytes::from(vec![value]));
            let result = apply(mvcc, Change::Put(put(key.clone(), value.clone(), lease)));
            if lease != 0 && !reference.leases.contains_key(&lease) {
                assert_eq!(result, Err(Refusal::LeaseNotFound));
                return;
            }
            result.unwrap();
            reference.step(|keys, revision| Reference::put(keys, revision, &key, value, lease));
        }
        Step::Delete(from, end) => {
            let request = DeleteRangeRequest { key: key(from), range_end: key(end), prev_kv: true };
            let result = apply(mvcc, Change::DeleteRange(request)).unwrap();
            let gone: Vec<KeyValue> = reference.now().range(key(from)..key(end.max(from))).map(|(_, kv)| kv.clone()).collect();
            let Some(reply::Reply::DeleteRange(response)) = result.reply else { panic!("another reply") };
            assert_eq!(response.prev_kvs, gone);
            reference.step(|keys, _| keys.retain(|key, _| !gone.iter().any(|kv| kv.key == key)));
        }
        Step::Grant(id) => {
            let result = apply(mvcc, Change::Grant(LeaseGrantRequest { id, ttl: 9 }));
            assert_eq!(result.is_err(), reference.leases.insert(id, ()).is_some());
        }
        Step::Revoke(id) => {
            let result = apply(mvcc, Change::Revoke(LeaseRevokeRequest { id }));
            assert_eq!(result.is_ok(), reference.leases.remove(&id).is_some());
            reference.step(|keys, _| keys.retain(|_, kv| kv.lease != id));
        }
        Step::Txn(of, at, into, (from, end), other) => run_txn(mvcc, reference, (of, at), into, (from, end), other),
        Step::Compact(back) => {
            let revision = reference.revision() - back;
            let result = apply(mvcc, Change::Compact(CompactionRequest { revision, physical: false }));
            if revision <= reference.compacted {
                assert_eq!(result, Err(Refusal::Compacted));
            } else {
                result.unwrap();
                reference.compacted = revision;
            }
        }
        Step::Restore => {
            let before = mvcc.clone();
            *mvcc = postcard::from_bytes::<Mvcc>(&postcard::to_stdvec(mvcc).unwrap()).unwrap().restored();
            assert_eq!(*mvcc, before, "a snapshot loses nothing");
        }
    }
}

fn run_txn(mvcc: &mut Mvcc, reference: &mut Reference, (of, at): (u8, i64), into: u8, (from, end): (u8, u8), other: u8) {
    let value = Bytes::from_static(b"txn");
    let compare = Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Version.into(),
        key: key(of),
        target_union: Some(TargetUnion::Version(at)),
        ..Compare::default()
    };
    let delete = DeleteRangeRequest { key: key(from), range_end: key(end), prev_kv: false };
    let request = TxnRequest {
        compare: vec![compare],
        success: vec![op(Request::RequestPut(put(key(into), value.clone(), 0))), op(Request::RequestDeleteRange(delete))],
        failure: vec![op(Request::RequestPut(put(key(other), value.clone(), 0)))],
    };
    check_txn(&request).unwrap();
    let Some(reply::Reply::Txn(response)) = apply(mvcc, Change::Txn(request)).unwrap().reply else { panic!("another reply") };
    let holds = reference.now().get(&key(of)).map_or(0, |kv| kv.version) == at;
    assert_eq!(response.succeeded, holds);
    reference.step(|keys, revision| {
        if holds {
            Reference::put(keys, revision, &key(into), value, 0);
            keys.retain(|held, _| !(*held >= key(from) && *held < key(end)));
        } else {
            Reference::put(keys, revision, &key(other), value, 0);
        }
    });
}

/// What a watch from `from` on must see, out of the differences between the reference's states.
fn expected_events(reference: &Reference, from: i64) -> Vec<(i64, Bytes, bool, Option<KeyValue>)> {
    let mut events = Vec::new();
    for revision in from.max(2)..=reference.revision() {
        let at = |revision: i64| &reference.states[usize::try_from(revision - 1).unwrap()];
        let (before, after) = (at(revision - 1), at(revision));
        for key in before.keys().chain(after.keys()).collect::<std::collections::BTreeSet<_>>() {
            if before.get(key) != after.get(key) {
                events.push((revision, key.clone(), after.contains_key(key), before.get(key).cloned()));
            }
        }
    }
    events
}

fn seen(events: &[Event]) -> Vec<(i64, Bytes, bool, Option<KeyValue>)> {
    let mut seen: Vec<_> = events
        .iter()
        .map(|event| {
            let kv = event.kv.as_ref().unwrap();
            (kv.mod_revision, kv.key.clone(), event.r#type() == EventType::Put, event.prev_kv.clone())
        })
        .collect();
    assert!(seen.is_sorted_by_key(|event| event.0), "events come in the order of revisions");
    seen.sort_by(|left, right| (left.0, &left.1).cmp(&(right.0, &right.1)));
    seen
}

proptest! {
    #[test]
    fn every_read_and_watch_agrees_with_the_reference(steps in steps()) {
        let mut mvcc = Mvcc::default();
        let mut reference = Reference { states: vec![Keys::new()], compacted: 0, leases: BTreeMap::new() };
        let mut frozen = Vec::new();
        for step in &steps {
            run(&mut mvcc, &mut reference, step);
            prop_assert_eq!(mvcc.revision(), reference.revision());
            frozen.push((mvcc.frozen(), postcard::to_stdvec(&mvcc).unwrap()));
        }
        for (frozen, then) in &frozen {
            prop_assert_eq!(&postcard::to_stdvec(frozen).unwrap(), then, "what goes on does not change it");
        }
        for revision in 1..=reference.revision() + 1 {
            let request = RangeRequest { key: key(0), range_end: Bytes::from_static(&[0]), revision, ..RangeRequest::default() };
            let read = mvcc.range(&request).map(|response| response.kvs);
            let expected = match usize::try_from(revision - 1).ok().and_then(|index| reference.states.get(index)) {
                None => Err(Refusal::FutureRevision),
                Some(_) if revision < reference.compacted => Err(Refusal::Compacted),
                Some(keys) => Ok(keys.values().cloned().collect::<Vec<_>>()),
            };
            prop_assert_eq!(read, expected, "at revision {}", revision);
        }
        let filter = Filter { key: key(0), range_end: Bytes::from_static(&[0]), prev_kv: true, ..Filter::default() };
        for from in 1..=reference.revision() + 1 {
            let Ok((events, next)) = mvcc.events(&filter, from, usize::MAX) else {
                prop_assert!(from < reference.compacted);
                continue;
            };
            prop_assert_eq!(next, reference.revision() + 1);
            let mut expected = expected_events(&reference, from);
            let mut seen = seen(&events);
            // What was there before the compacted revision may be forgotten, and what happened at it, too, when a later change hides it.
            for event in expected.iter_mut().chain(&mut seen).filter(|event| event.0 <= reference.compacted) {
                event.3 = None;
            }
            prop_assert_eq!(seen, expected, "from revision {}", from);
        }
    }
}

#[test]
fn a_refused_transaction_changes_nothing() {
    let mut mvcc = Mvcc::default();
    let before = mvcc.clone();
    let bad = op(Request::RequestPut(put(key(1), Bytes::new(), 77)));
    let request = TxnRequest { success: vec![op(Request::RequestPut(put(key(0), Bytes::new(), 0))), bad], ..TxnRequest::default() };
    assert_eq!(apply(&mut mvcc, Change::Txn(request)), Err(Refusal::LeaseNotFound));
    assert_eq!(mvcc, before);
}

#[test]
fn a_key_is_changed_once_in_a_transaction() {
    let put_op = |number| op(Request::RequestPut(put(key(number), Bytes::new(), 0)));
    let delete_op = |from, end| op(Request::RequestDeleteRange(DeleteRangeRequest { key: key(from), range_end: key(end), prev_kv: false }));
    let nested = |then, other| op(Request::RequestTxn(TxnRequest { compare: Vec::new(), success: then, failure: other }));
    let check = |success| check_txn(&TxnRequest { success, ..TxnRequest::default() });
    assert_eq!(check(vec![put_op(1), put_op(1)]), Err(Refusal::DuplicateKey));
    assert_eq!(check(vec![put_op(1), delete_op(0, 3)]), Err(Refusal::DuplicateKey));
    assert_eq!(check(vec![put_op(1), nested(vec![put_op(1)], Vec::new())]), Err(Refusal::DuplicateKey));
    assert_eq!(check(vec![nested(vec![put_op(1)], vec![put_op(1)])]), Ok(()), "only one branch is taken");
    assert_eq!(check(vec![delete_op(0, 3), delete_op(1, 2)]), Ok(()));
    assert_eq!(check((0..129).map(|_| delete_op(0, 1)).collect()), Err(Refusal::TooManyOps));
}
