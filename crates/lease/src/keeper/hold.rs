//! The region's lease: one for all homes that it holds.

use super::{Action, Asking, Keeper, Timing};
use crate::Time;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hold {
    lease: Option<i64>,
    until: Time,
    asking: Asking,
}

impl Hold {
    /// The lease, as far as is known.
    pub(super) fn lease(&self) -> Option<i64> {
        self.lease
    }

    /// Until when what is held may be written: earlier than the lease can end.
    pub(super) fn until(&self) -> Time {
        if self.lease.is_some() { self.until } else { Time::ZERO }
    }

    pub(super) fn granted(&mut self, lease: Option<i64>, sent: Time, now: Time, timing: &Timing) {
        self.asking.ends(if lease.is_some() { sent + timing.renew } else { now + timing.look });
        if lease.is_some() {
            (self.lease, self.until) = (lease, sent + timing.valid());
        }
    }

    /// False when the lease is gone.
    pub(super) fn renewed(&mut self, sent: Time, alive: Option<bool>, now: Time, timing: &Timing) -> bool {
        match alive {
            Some(true) => {
                self.until = self.until.max(sent + timing.valid());
                self.asking.ends(sent + timing.renew);
            }
            Some(false) => {
                self.lease = None;
                self.asking.ends(now);
            }
            None => self.asking.ends(now + timing.look / 2),
        }
        alive != Some(false)
    }
}

impl Keeper {
    /// Keeps the lease as long as the database is well: a region that cannot write must not keep others from it.
    pub(super) fn renew(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.is_database_well(now, self.timing.fit) && self.hold.asking.begins(now) {
            actions.push(self.hold.lease.map_or(Action::Grant, |lease| Action::Renew { lease }));
        }
    }
}
