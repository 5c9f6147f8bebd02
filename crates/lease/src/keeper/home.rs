//! One home.

use ids::Region;

use super::{Action, Note, Timing, gate::Gate};
use crate::{Mode, Record, Seen, Time};

/// How a home stands with this region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// It is not held here.
    Apart,
    /// It was taken over; the old holder is listened to no more before a row is written.
    Silencing,
    /// It is held, and written as long as the lease lasts.
    Held,
    /// It is on its way to the peer.
    Yielding,
}

/// How far a handover is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Writes stop.
    Closing,
    /// The peer gets the rest.
    Settling,
    /// The record is to be changed.
    Giving,
    /// Whether the record has changed is not known. Before writing on, it is changed once more: then the first change is dead.
    Reclaiming,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Home {
    pub(super) home: Region,
    pub(super) stand: Stand,
    /// The record and its revision.
    pub(super) record: Option<(Record, i64)>,
    pub(super) seen: Seen,
    pub(super) gate: Gate,
    /// Since when the holder's key has been seen to be gone.
    pub(super) gone_since: Option<Time>,
    /// Someone wants it to go over: until when that holds, and whether it shall stay there.
    pub(super) asked: Option<(Time, bool)>,
    /// An operator wants it to be taken: until when that holds, and whether a loss is accepted.
    pub(super) wanted: Option<(Time, bool)>,
    /// A handover: how far, since when, and whether it shall stay there.
    pub(super) phase: Phase,
    since: Time,
    /// After a handover that was given up.
    pub(super) rests_until: Time,
    pub(super) pinned: bool,
    /// A [`Action::Settle`] is under way, perhaps of an earlier handover.
    settling: bool,
}

impl Home {
    pub(super) fn new(home: Region, floor: Time) -> Self {
        Self {
            home,
            stand: Stand::Apart,
            record: None,
            seen: Seen::default(),
            gate: Gate::new(floor),
            gone_since: None,
            asked: None,
            wanted: None,
            phase: Phase::Closing,
            since: Time::ZERO,
            rests_until: Time::ZERO,
            pinned: false,
            settling: false,
        }
    }

    pub(super) fn is_mirrored(&self) -> bool {
        self.record.is_some_and(|(record, _)| record.mode == Mode::Mirrored)
    }

    pub(super) fn is_pinned(&self) -> bool {
        self.record.is_some_and(|(record, _)| record.pinned)
    }

    /// Takes in what the coordinator has.
    pub(super) fn see(&mut self, seen: Seen, me: Region, lease: Option<i64>, now: Time, actions: &mut Vec<Action>) {
        self.seen = seen;
        self.record = seen.record;
        self.gone_since = if seen.lease.is_some() { None } else { self.gone_since.or(Some(now)) };
        let is_mine =
            lease.is_some_and(|lease| seen.lease == Some((me, lease))) && seen.record.is_some_and(|(record, _)| record.holder == me);
        match (self.stand, is_mine) {
            (Stand::Apart, true) => {
                let (record, _) = seen.record.expect("it is mine");
                self.stand = if record.adopting { Stand::Silencing } else { Stand::Held };
                actions.push(Action::Note(Note::Held(self.home, record.epoch)));
            }
            (Stand::Apart, false) | (_, true) => {}
            (_, false) => {
                self.stand = Stand::Apart;
                actions.push(Action::Note(Note::Lost(self.home)));
            }
        }
    }

    /// Goes on with a handover, or begins one when there is a `wish`; that says whether the home shall stay there.
    pub(super) fn yields(&mut self, wish: Option<bool>, now: Time, timing: &Timing, actions: &mut Vec<Action>) {
        if self.stand == Stand::Held
            && let Some(pinned) = wish
            && now >= self.rests_until
        {
            (self.stand, self.phase, self.since, self.pinned, self.asked) = (Stand::Yielding, Phase::Closing, now, pinned, None);
            if let Some((record, _)) = self.record
                && self.gate.moves(record, Time::ZERO, now)
            {
                actions.push(Action::Set { home: self.home, holder: record.holder, epoch: record.epoch, until: Time::ZERO });
            }
        }
        if self.stand != Stand::Yielding || self.phase == Phase::Reclaiming {
            return;
        }
        if now.saturating_sub(self.since) >= timing.handover {
            (self.stand, self.rests_until) = (Stand::Held, now + timing.handover);
            actions.push(Action::Note(Note::HandoverGivenUp(self.home)));
        } else if self.phase == Phase::Closing && self.gate.is_closed(now) && !self.settling {
            (self.phase, self.settling) = (Phase::Settling, true);
            actions.push(Action::Settle { home: self.home });
        }
    }

    /// False when the handover is given up by it.
    pub(super) fn settled(&mut self, done: bool) -> bool {
        self.settling = false;
        if self.stand == Stand::Yielding && self.phase == Phase::Settling {
            if !done {
                self.stand = Stand::Held;
                return false;
            }
            self.phase = Phase::Giving;
        }
        true
    }
}
