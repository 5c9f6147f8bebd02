//! When leases end. Pure: time is an input.
//!
//! Only the leader keeps deadlines, by its own monotonic clock. A site that becomes leader gives every lease its whole TTL again, since it cannot
//! know which were kept alive; so a lease may end late, and never early. A lease that is due is revoked through the log, like any
//! change, and is gone when that is committed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Deadlines of the leases, while this site leads.
#[derive(Debug, Default)]
pub struct Lessor {
    /// The term this site leads in.
    term: Option<u64>,
    deadlines: BTreeMap<i64, (Duration, Duration)>,
    by_time: BTreeSet<(Duration, i64)>,
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}

impl Lessor {
    /// Whether this site leads in `term` and keeps the deadlines.
    #[must_use]
    pub fn leads(&self, term: u64) -> bool {
        self.term == Some(term)
    }

    /// This site leads from now on. `grace` is added once, for those who first have to find the new leader.
    pub fn promote(&mut self, term: u64, leases: impl Iterator<Item = (i64, i64)>, now: Duration, grace: Duration) {
        self.demote();
        self.term = Some(term);
        for (id, ttl) in leases {
            self.set(id, seconds(ttl), now + grace);
        }
    }

    /// This site does not lead any more.
    pub fn demote(&mut self) {
        *self = Self::default();
    }

    /// A lease has been granted.
    pub fn granted(&mut self, id: i64, ttl: i64, now: Duration) {
        if self.term.is_some() {
            self.set(id, seconds(ttl), now);
        }
    }

    /// A lease is gone.
    pub fn revoked(&mut self, id: i64) {
        if let Some((_, deadline)) = self.deadlines.remove(&id) {
            self.by_time.remove(&(deadline, id));
        }
    }

    fn set(&mut self, id: i64, ttl: Duration, now: Duration) {
        self.revoked(id);
        self.deadlines.insert(id, (ttl, now + ttl));
        self.by_time.insert((now + ttl, id));
    }

    /// Gives a lease its whole TTL again. None when there is no such lease, or it is due and about to be revoked.
    pub fn renew(&mut self, id: i64, now: Duration) -> Option<Duration> {
        let (ttl, deadline) = *self.deadlines.get(&id)?;
        if deadline <= now {
            return None;
        }
        self.set(id, ttl, now);
        Some(ttl)
    }

    /// TTL and what is left of it.
    #[must_use]
    pub fn remaining(&self, id: i64, now: Duration) -> Option<(Duration, Duration)> {
        self.deadlines.get(&id).map(|(ttl, deadline)| (*ttl, deadline.saturating_sub(now)))
    }

    /// Leases that are due, the longest overdue first, at most `most`.
    #[must_use]
    pub fn due(&self, now: Duration, most: usize) -> Vec<i64> {
        self.by_time.iter().take_while(|(deadline, _)| *deadline <= now).take(most).map(|(_, id)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_new_leader_gives_every_lease_its_whole_ttl_again() {
        let mut lessor = Lessor::default();
        lessor.promote(1, [(7, 3)].into_iter(), s(100), s(1));
        assert_eq!(lessor.remaining(7, s(100)), Some((s(3), s(4))));
        assert!(lessor.due(s(103), 9).is_empty());
        assert_eq!(lessor.due(s(104), 9), [7]);
        assert_eq!(lessor.renew(7, s(104)), None, "it is about to be revoked");
        lessor.demote();
        assert!(lessor.due(s(1000), 9).is_empty(), "only the leader's clock counts");
    }

    proptest! {
        #[test]
        fn a_lease_never_ends_before_its_ttl(steps in prop::collection::vec((0u64..4, 0i64..4, 1i64..9), 1..80)) {
            let (mut lessor, mut now, mut earliest) = (Lessor::default(), s(0), BTreeMap::new());
            lessor.promote(1, std::iter::empty(), now, s(0));
            for (pause, id, ttl) in steps {
                now += s(pause);
                for due in lessor.due(now, usize::MAX) {
                    prop_assert!(earliest[&due] <= now);
                    lessor.revoked(due);
                    earliest.remove(&due);
                }
                match (pause % 2, earliest.contains_key(&id)) {
                    (_, false) => {
                        lessor.granted(id, ttl, now);
                        earliest.insert(id, now + seconds(ttl));
                    }
                    (0, true) => {
                        let ttl = lessor.renew(id, now).expect("what is due has been revoked");
                        earliest.insert(id, now + ttl);
                    }
                    _ => {}
                }
            }
        }
    }
}
