//! The keeper of a region: what it holds, what it takes over, and what it gives back. Pure: events and time in, actions out.
//!
//! ```text
//!            acquire (lease key absent,             close gate, settle, record says the peer, lease key gone
//!            record unchanged)                     ┌──────────────────────────── Yielding ◀──┐
//!   Apart ─────────────────────────▶ Held ─────────┼── handover ───────────────────────────▶ Apart
//!     │  takeover: record mirrored    ▲            │
//!     └─────────────▶ Silencing ──────┘            └── no answer in time: Held again
//!                     (the old holder is not listened to any more, what came is applied)
//! ```
//! - A home's gate in the database is open until a time. It is never later than the last renewal's sending + TTL - margin.
//! - At most one transaction is under way. Each compares the record's revision, so one whose outcome is unknown is either seen later or dead as
//!   soon as another has changed the record. That is why what must not be undone by it begins with a transaction even if nothing changes.
//! - Each action is answered by exactly one event, sooner or later, unless the process ends.

mod event;
mod gate;
mod hold;
mod home;
mod mode;
mod write;

use ids::Region;

pub use self::{
    event::{Action, Event, Look, Note, Outcome, PeerLook, Timing},
    home::Stand,
};
use self::{hold::Hold, home::Home, mode::Durability, write::Purpose};
use crate::{Mode, Record, Time, View};

/// Something that is asked for now and then, one at a time.
#[derive(Debug, Clone, Copy, Default)]
struct Asking {
    busy: bool,
    next: Time,
}

impl Asking {
    /// True when it shall be asked for now.
    fn begins(&mut self, now: Time) -> bool {
        let begins = !self.busy && now >= self.next;
        self.busy |= begins;
        begins
    }

    fn ends(&mut self, next: Time) {
        *self = Self { busy: false, next };
    }
}

/// The keeper.
#[derive(Debug, Clone)]
pub struct Keeper {
    me: Region,
    timing: Timing,
    started: Time,
    hold: Hold,
    homes: [Home; 2],
    mode: Durability,
    /// The transaction under way.
    writing: Option<Purpose>,
    view: Option<View>,
    viewing: Asking,
    /// Views asked for before this may not show the last transaction.
    fresh_from: Time,
    look: Option<Look>,
    looking: Asking,
    peer: Option<PeerLook>,
    asking: Asking,
    listening: Asking,
    /// The subscription was switched then; looks before say nothing of it.
    switched: Time,
    catching_up: Asking,
    caught_up_since: Option<Time>,
}

impl Keeper {
    /// A keeper that has just begun, at `now`, and knows nothing.
    #[must_use]
    pub fn new(me: Region, timing: Timing, now: Time) -> Self {
        Self {
            me,
            timing,
            started: now,
            hold: Hold::default(),
            // What an earlier process of this region has set may last as long.
            homes: Region::ALL.map(|home| Home::new(home, now + timing.valid())),
            mode: Durability::default(),
            writing: None,
            view: None,
            viewing: Asking::default(),
            fresh_from: now,
            look: None,
            looking: Asking::default(),
            peer: None,
            asking: Asking::default(),
            listening: Asking::default(),
            switched: now,
            catching_up: Asking::default(),
            caught_up_since: None,
        }
    }

    /// Takes in what happened and says what to do.
    pub fn on(&mut self, event: Event, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        self.take_in(event, now, &mut actions);
        self.renew(now, &mut actions);
        self.gates(now, &mut actions);
        self.yields(now, &mut actions);
        self.silences(now, &mut actions);
        self.modes(now, &mut actions);
        self.writes(now, &mut actions);
        self.listens(now, &mut actions);
        self.looks(now, &mut actions);
        actions
    }

    fn take_in(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        match event {
            Event::Tick => {}
            Event::Changed => self.viewing.next = now,
            Event::Granted { lease, sent } => self.hold.granted(lease, sent, now, &self.timing),
            Event::Renewed { sent, alive } => {
                if !self.hold.renewed(sent, alive, now, &self.timing) {
                    // What is kept under it is gone with it.
                    self.homes.iter_mut().for_each(|home| home.stand = Stand::Apart);
                    (self.fresh_from, self.viewing.next) = (now, now);
                    actions.push(Action::Note(Note::LeaseLost));
                }
            }
            Event::Viewed(view) => self.viewed(view, now, actions),
            Event::Written(outcome) => self.written(outcome, now, actions),
            Event::Set { home, done } => self.homes[home as usize].gate.ended(done, now),
            Event::Listened { done } => {
                self.switched = now;
                if let (Some(look), true) = (&mut self.look, done) {
                    look.listening = true;
                }
                self.listening.ends(now + self.timing.renew);
            }
            Event::Silenced { home, done } => self.silenced(home, done, now),
            Event::Settled { home, done } => {
                let known = &mut self.homes[home as usize];
                if !known.settled(done) {
                    known.rests_until = now + self.timing.handover;
                    actions.push(Action::Note(Note::HandoverGivenUp(home)));
                }
            }
            Event::Named { done } => self.mode.named(done, now),
            Event::Confirmed { done } => self.mode.is_confirmed(done, now, &self.timing),
            Event::Looked(look) => self.looked(look, now),
            Event::PeerLooked(peer) => {
                self.peer = peer.or(self.peer);
                self.asking.ends(now + 2 * self.timing.renew);
            }
            Event::CaughtUp { done } => {
                self.caught_up_since = done.then(|| self.caught_up_since.unwrap_or(now));
                self.catching_up.ends(now + 2 * self.timing.renew);
            }
            Event::Yield { home, pinned } => self.homes[home as usize].asked = Some((now + self.timing.handover, pinned)),
            Event::Take { home, force } => self.homes[home as usize].wanted = Some((now + self.timing.warm_up, force)),
        }
    }

    /// Asks to see what is not known.
    fn looks(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.writing.is_none() && self.viewing.begins(now) {
            actions.push(Action::View);
        }
        if self.looking.begins(now) {
            actions.push(Action::Look);
        }
        if self.asking.begins(now) {
            actions.push(Action::AskPeer);
        }
        let refused = self.look.is_some_and(|look| look.refused > 0);
        let foreign = &self.homes[self.me.peer() as usize];
        let needs = foreign.stand == Stand::Held || (refused && self.holds_any());
        if !needs || !self.is_mirror_well(now) || !self.is_listening() || self.peer_now(now).is_none() || !self.mode.is_mirrored() {
            if !self.catching_up.busy {
                self.caught_up_since = None;
            }
        } else if self.catching_up.begins(now) {
            actions.push(Action::CatchUp);
        }
    }

    fn viewed(&mut self, view: Option<View>, now: Time, actions: &mut Vec<Action>) {
        self.viewing.ends(now + self.timing.renew);
        let Some(view) = view else { return };
        if self.writing.is_some() || view.asked < self.fresh_from {
            self.viewing.next = now;
            return;
        }
        for home in &mut self.homes {
            home.see(view.homes[home.home as usize], self.me, self.hold.lease(), now, actions);
        }
        self.view = Some(view);
    }

    fn looked(&mut self, look: Option<Look>, now: Time) {
        self.looking.ends(now + self.timing.look);
        let Some(mut look) = look else {
            self.mode.unseen();
            return;
        };
        if look.at < self.switched
            && let Some(before) = self.look
        {
            look.listening = before.listening;
        }
        for (home, row) in self.homes.iter_mut().zip(look.rows) {
            home.gate.seen(row, look.at);
        }
        self.mode.see(&look);
        self.look = Some(look);
    }

    /// The database answered not long ago: without it the region is of no use, and another should have its homes.
    fn is_database_well(&self, now: Time, within: Time) -> bool {
        self.look.is_some_and(|look| now.saturating_sub(look.at) < within)
    }

    fn is_mirror_well(&self, now: Time) -> bool {
        self.is_database_well(now, self.timing.broken) && self.mode.is_well()
    }

    fn is_listening(&self) -> bool {
        self.look.is_some_and(|look| look.listening) && !self.listening.busy
    }

    fn peer_now(&self, now: Time) -> Option<PeerLook> {
        self.peer.filter(|peer| now.saturating_sub(peer.at) < self.timing.peer)
    }

    fn holds_any(&self) -> bool {
        self.homes.iter().any(|home| home.stand != Stand::Apart)
    }

    fn drained(&self, region: Region) -> bool {
        self.view.is_some_and(|view| view.drained[region as usize])
    }

    /// Listens to the peer again as soon as that knows all that was taken from it: then nothing that it still says can pass for new.
    fn listens(&mut self, now: Time, actions: &mut Vec<Action>) {
        let is_off = self.look.is_some_and(|look| !look.listening);
        if !is_off || self.homes.iter().any(|home| home.stand == Stand::Silencing) || self.writing.is_some() {
            return;
        }
        let Some(peer) = self.peer_now(now) else { return };
        let knows = |home: &Home| match (home.stand, home.record, peer.rows[home.home as usize]) {
            (Stand::Apart, ..) => true,
            (_, Some((record, _)), Some((holder, epoch))) => holder == self.me && epoch >= record.epoch,
            _ => false,
        };
        if self.homes.iter().all(knows) && self.listening.begins(now) {
            actions.push(Action::Listen);
        }
    }

    /// Opens what is held for as long as the lease allows, and closes what is not.
    fn gates(&mut self, now: Time, actions: &mut Vec<Action>) {
        for home in &mut self.homes {
            let Some((record, _)) = home.record else { continue };
            let until = if home.stand == Stand::Held { self.hold.until() } else { Time::ZERO };
            if home.gate.moves(record, until, now) {
                actions.push(Action::Set { home: home.home, holder: record.holder, epoch: record.epoch, until });
            }
        }
    }

    /// Takeover: first what the old holder may still say is not heard any more.
    fn silences(&mut self, now: Time, actions: &mut Vec<Action>) {
        let needs = self.homes.iter().find(|home| home.stand == Stand::Silencing).map(|home| home.home);
        if let Some(home) = needs
            && self.listening.begins(now)
        {
            actions.push(Action::Silence { home });
        }
    }

    fn silenced(&mut self, home: Region, done: bool, now: Time) {
        self.switched = now;
        self.listening.ends(now);
        if done {
            if let Some(look) = &mut self.look {
                look.listening = false;
            }
            for home in self.homes.iter_mut().filter(|other| other.home == home && other.stand == Stand::Silencing) {
                home.stand = Stand::Held;
            }
        } else {
            self.listening.next = now + self.timing.look;
        }
    }

    fn yields(&mut self, now: Time, actions: &mut Vec<Action>) {
        let peer = self.peer_now(now);
        let is_peer_ready = peer.is_some_and(|peer| peer.is_ready) && self.is_listening();
        let well = self.is_mirror_well(now) && self.mode.is_mirrored() && !self.mode.is_leaving() && is_peer_ready;
        let (leaves, peer_drained) = (self.drained(self.me), self.drained(self.me.peer()));
        let caught_up = self.caught_up_since.is_some_and(|since| now.saturating_sub(since) >= self.timing.caught_up);
        for home in &mut self.homes {
            let asked = home.asked.filter(|(until, _)| now < *until);
            let goes_home = self.timing.gives_back && home.home != self.me && !home.is_pinned() && caught_up && !peer_drained;
            let drains = leaves && !peer_drained;
            let wish = asked.map(|(_, pinned)| pinned).or_else(|| (goes_home || drains).then_some(false));
            home.yields(wish.filter(|_| well && self.hold.until() > now && home.is_mirrored()), now, &self.timing, actions);
        }
    }

    /// The durability mode that a record of this region's may claim now.
    fn claim(&self, before: Option<Record>) -> Mode {
        let went_on = before.is_some_and(|record| record.holder == self.me && record.mode == Mode::Mirrored);
        if self.mode.may_claim(went_on) { Mode::Mirrored } else { Mode::Solo }
    }

    /// How a home stands here.
    #[must_use]
    pub fn stand(&self, home: Region) -> Stand {
        self.homes[home as usize].stand
    }

    /// The record as this region knows it.
    #[must_use]
    pub fn record(&self, home: Region) -> Option<Record> {
        self.homes[home as usize].record.map(|(record, _)| record)
    }

    /// Until when the home's rows may be written here, at the most.
    #[must_use]
    pub fn valid_until(&self, home: Region) -> Time {
        let home = &self.homes[home as usize];
        if home.stand == Stand::Held { home.gate.confirmed() } else { Time::ZERO }
    }

    /// Whether the home's holder is alive, as the coordinator says.
    #[must_use]
    pub fn is_held(&self, home: Region) -> bool {
        self.view.is_some_and(|view| view.homes[home as usize].lease.is_some())
    }

    /// Whether this region could take a home that it is given.
    #[must_use]
    pub fn is_ready(&self, now: Time) -> bool {
        self.hold.until() > now
            && self.is_database_well(now, self.timing.broken)
            && self.homes.iter().all(|home| home.stand != Stand::Silencing)
    }

    /// What the coordinator said last.
    #[must_use]
    pub fn view(&self) -> Option<View> {
        self.view
    }

    /// Whether the regions have been seen to agree for some time, so that a home could be given back.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.caught_up_since.is_some()
    }
}

#[cfg(test)]
mod tests;
