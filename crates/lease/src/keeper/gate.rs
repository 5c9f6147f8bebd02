//! Until when the database takes writes of a home. What has been asked of it is known; what it does may come later.

use ids::Region;

use crate::{Record, Time};

#[derive(Debug, Clone, Copy)]
pub(super) struct Gate {
    /// The call under way: holder, epoch, until.
    busy: Option<(Region, u64, Time)>,
    /// What the database has for certain, unless a call of unknown outcome comes late.
    has: Option<(Region, u64)>,
    until: Time,
    /// The latest time that a call of unknown outcome may set.
    floor: Time,
    /// Looks from before are older than the last call.
    since: Time,
    /// After a call that failed: when the next may come.
    next: Time,
}

/// Between a call that failed and the next.
const PAUSE: Time = Time::from_millis(100);

impl Gate {
    /// A gate that an earlier process may have opened until `floor`.
    pub(super) fn new(floor: Time) -> Self {
        Self { busy: None, has: None, until: Time::ZERO, floor, since: Time::ZERO, next: Time::ZERO }
    }

    /// Until when it is open for certain, if nothing comes in between.
    pub(super) fn confirmed(&self) -> Time {
        self.until
    }

    /// Whether nothing that was asked of the database can let a write through from now on.
    pub(super) fn is_closed(&self, now: Time) -> bool {
        self.busy.is_none() && self.until <= now && self.floor <= now
    }

    /// Whether the database knows that another holds the home. Then nobody waits here any more who wrote under an earlier epoch.
    pub(super) fn is_told(&self, record: Record) -> bool {
        self.busy.is_none() && self.has == Some((record.holder, record.epoch))
    }

    /// True when the database must be told, which is then under way.
    pub(super) fn moves(&mut self, record: Record, until: Time, now: Time) -> bool {
        let is_wrong = self.has != Some((record.holder, record.epoch));
        let opens = until > now && self.until < until;
        let closes = until == Time::ZERO && self.until > now;
        let moves = self.busy.is_none() && now >= self.next && (is_wrong || opens || closes);
        if moves {
            self.busy = Some((record.holder, record.epoch, until));
            self.since = now;
        }
        moves
    }

    /// The call has ended.
    pub(super) fn ended(&mut self, done: bool, now: Time) {
        let Some((holder, epoch, until)) = self.busy.take() else { return };
        if done {
            (self.has, self.until) = (Some((holder, epoch)), until);
        } else {
            // So that it is told again.
            (self.has, self.next) = (None, now + PAUSE);
            self.floor = self.floor.max(until);
        }
    }

    /// A look has shown what the database has: nothing, after a crash of it.
    pub(super) fn seen(&mut self, row: Option<(Region, u64)>, at: Time) {
        if self.busy.is_none() && at > self.since && row != self.has {
            self.has = None;
        }
    }
}
