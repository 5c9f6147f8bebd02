//! The durability mode. The records say solo before the database stops waiting for the peer; the database waits for the peer, and the peer has
//! all of before, before the records say mirrored. So whatever a mirrored record covers is in both regions.

use super::{Action, Keeper, Look, Note, Stand, Timing};
use crate::{Mode, Time};

/// On the way to solo.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Leaving {
    /// Not on the way.
    #[default]
    No,
    /// The records are to be changed.
    Telling,
    /// They are; the database is to follow.
    Told,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Durability {
    /// Whether commits wait for the peer; None when that is not known.
    names: Option<bool>,
    /// What the last look showed of that.
    seen: bool,
    /// Whether the peer has been seen to have all from before they did.
    confirmed: bool,
    leaving: Leaving,
    busy: bool,
    next: Time,
    /// Looks from before are older than the last change.
    since: Time,
    well_since: Option<Time>,
    broken_since: Option<Time>,
}

impl Durability {
    pub(super) fn see(&mut self, look: &Look) {
        if !self.busy && look.at >= self.since {
            // That they wait is believed only after it was said here: an earlier wish of the contrary may still be on its way.
            self.names = if look.names { self.names.filter(|names| *names) } else { Some(false) };
            self.confirmed &= self.names == Some(true);
            self.seen = look.names;
        }
        if look.streaming {
            self.well_since = self.well_since.or(Some(look.at));
            self.broken_since = None;
        } else {
            self.well_since = None;
            self.broken_since = self.broken_since.or(Some(look.at));
        }
    }

    /// The database does not answer, which says nothing about the mirror.
    pub(super) fn unseen(&mut self) {
        self.well_since = None;
    }

    /// Whether the peer's subscription streams from here.
    pub(super) fn is_well(&self) -> bool {
        self.well_since.is_some()
    }

    /// Whether commits wait for the peer, and it has all of before.
    pub(super) fn is_mirrored(&self) -> bool {
        self.names == Some(true) && self.confirmed
    }

    /// Whether it is known if commits wait.
    pub(super) fn is_known(&self) -> bool {
        self.names.is_some()
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving != Leaving::No
    }

    /// Whether the records have to be told that commits will wait no more.
    pub(super) fn tells(&self) -> bool {
        self.leaving == Leaving::Telling
    }

    /// Whether a record may say mirrored. `went_on`: it says so already, for this region.
    pub(super) fn may_claim(&self, went_on: bool) -> bool {
        self.names == Some(true) && !self.busy && !self.is_leaving() && (self.confirmed || went_on)
    }

    /// The records say solo.
    pub(super) fn told(&mut self) {
        self.leaving = Leaving::Told;
    }

    /// There is nothing to tell.
    pub(super) fn stays(&mut self) {
        self.leaving = Leaving::No;
    }

    pub(super) fn named(&mut self, done: Option<bool>, now: Time) {
        (self.busy, self.since, self.names) = (false, now, done);
        match done {
            Some(false) => self.leaving = Leaving::No,
            Some(true) => {}
            None => self.next = now + Time::from_millis(250),
        }
    }

    pub(super) fn is_confirmed(&mut self, done: bool, now: Time, timing: &Timing) {
        self.busy = false;
        self.confirmed = done && self.names == Some(true) && !self.is_leaving();
        if !done {
            self.next = now + timing.look;
        }
    }

    fn begins(&mut self, now: Time) -> bool {
        let begins = !self.busy && now >= self.next;
        self.busy |= begins;
        begins
    }
}

impl Keeper {
    pub(super) fn modes(&mut self, now: Time, actions: &mut Vec<Action>) {
        let holds = self.homes.iter().any(|home| matches!(home.stand, Stand::Held | Stand::Silencing));
        // Whoever waits for the peer is let go by it, of whichever home: so each home is either told, or has nobody who waits.
        let me = self.me;
        let is_settled = self.homes.iter().all(|home| match (home.record, home.stand) {
            (_, Stand::Held | Stand::Silencing) | (None, _) => true,
            (_, Stand::Yielding) => false,
            (Some((record, _)), Stand::Apart) => record.holder != me && home.gate.is_told(record),
        });
        let timing = self.timing;
        let is_seen = self.is_database_well(now, timing.broken);
        let mode = &mut self.mode;
        let lasts = |since: Option<Time>, within: Time| since.is_some_and(|since| now.saturating_sub(since) >= within);
        let is_broken = is_seen && lasts(mode.broken_since, timing.broken);
        match mode.leaving {
            Leaving::No if is_broken && mode.names != Some(false) && holds && is_settled => {
                (mode.leaving, mode.confirmed) = (Leaving::Telling, false);
            }
            // It has come back before anything was changed.
            Leaving::Telling | Leaving::Told if !mode.busy && mode.is_well() && self.writing.is_none() => mode.leaving = Leaving::No,
            Leaving::Told if is_settled && !mode.busy && now >= mode.next => {
                mode.busy = true;
                actions.extend([Action::Names(false), Action::Note(Note::Mode(Mode::Solo))]);
            }
            Leaving::No if is_seen && mode.names.is_none() && mode.seen && !mode.busy && now >= mode.next => {
                mode.busy = true;
                actions.push(Action::Names(true));
            }
            Leaving::No if is_seen && lasts(mode.well_since, timing.steady) => {
                if mode.names != Some(true) {
                    if mode.begins(now) {
                        mode.confirmed = false;
                        actions.push(Action::Names(true));
                    }
                } else if !mode.confirmed && mode.begins(now) {
                    actions.push(Action::Confirm);
                }
            }
            _ => {}
        }
    }
}
