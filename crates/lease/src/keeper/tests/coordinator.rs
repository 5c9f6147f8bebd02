//! A coordinator in memory.

use std::{collections::BTreeMap, time::Duration};

use ids::Region;

use crate::{Check, Key, Record, Seen, Time, Txn, View, Write};

#[derive(Debug, Clone, Copy)]
enum Value {
    Record(Record),
    Holder(Region),
    Drained,
}

#[derive(Debug, Default)]
pub(super) struct Coordinator {
    revision: i64,
    keys: BTreeMap<Key, (Value, i64, i64)>,
    leases: BTreeMap<i64, Time>,
    last_lease: i64,
}

impl Coordinator {
    pub(super) fn grant(&mut self, now: Time, ttl: Duration) -> i64 {
        self.last_lease += 1;
        self.leases.insert(self.last_lease, now + ttl);
        self.last_lease
    }

    pub(super) fn renew(&mut self, lease: i64, now: Time, ttl: Duration) -> bool {
        self.leases.get_mut(&lease).map(|deadline| *deadline = now + ttl).is_some()
    }

    /// Leases end, never early.
    pub(super) fn pass(&mut self, now: Time) {
        let ended: Vec<i64> = self.leases.iter().filter(|(_, deadline)| **deadline <= now).map(|(lease, _)| *lease).collect();
        for lease in ended {
            self.leases.remove(&lease);
            self.keys.retain(|_, (_, _, under)| *under != lease);
        }
    }

    pub(super) fn drain(&mut self, region: Region, on: bool) {
        self.revision += 1;
        if on {
            self.keys.insert(Key::Drained(region), (Value::Drained, self.revision, 0));
        } else {
            self.keys.remove(&Key::Drained(region));
        }
    }

    pub(super) fn view(&self, asked: Time) -> View {
        let mut view = View { asked, ..View::default() };
        for (key, (value, revision, lease)) in &self.keys {
            match (key, value) {
                (Key::Record(home), Value::Record(record)) => view.homes[*home as usize].record = Some((*record, *revision)),
                (Key::Lease(home), Value::Holder(holder)) => view.homes[*home as usize].lease = Some((*holder, *lease)),
                (Key::Drained(region), _) => view.drained[*region as usize] = true,
                _ => unreachable!("keys have their values"),
            }
        }
        view
    }

    pub(super) fn home(&self, home: Region) -> Seen {
        self.view(Time::ZERO).homes[home as usize]
    }

    /// The revision when it was carried out. A put under a lease that has ended is refused, as etcd does.
    pub(super) fn txn(&mut self, txn: &Txn) -> Option<i64> {
        let holds = |check: &Check| match check {
            Check::Absent(key) => !self.keys.contains_key(key),
            Check::Revision(key, revision) => self.keys.get(key).is_some_and(|(_, last, _)| last == revision),
            Check::Under(key, lease) => self.keys.get(key).is_some_and(|(_, _, under)| under == lease),
        };
        let is_dead = |write: &Write| matches!(write, Write::Lease { lease, .. } if !self.leases.contains_key(lease));
        if !txn.checks.iter().all(holds) || txn.writes.iter().any(is_dead) {
            return None;
        }
        self.revision += 1;
        for write in &txn.writes {
            match *write {
                Write::Record(home, record) => {
                    self.keys.insert(Key::Record(home), (Value::Record(record), self.revision, 0));
                }
                Write::Lease { home, holder, lease } => {
                    self.keys.insert(Key::Lease(home), (Value::Holder(holder), self.revision, lease));
                }
                Write::Release(home) => drop(self.keys.remove(&Key::Lease(home))),
            }
        }
        Some(self.revision)
    }
}
