//! Two regions, what lies between them, and what can happen to it. Time, order and faults come from a seed.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    time::Duration,
};

use ids::Region;

use super::{
    super::{Action, Event, Keeper, Look, Outcome, PeerLook, Stand, Timing},
    coordinator::Coordinator,
    database::Database,
};
use crate::{Mode, Record, Seen, Time};

/// Between two ticks of a keeper, and two tries to write.
const TICK: Duration = Duration::from_millis(50);
/// When a caller gives up.
const CALL: Duration = Duration::from_millis(700);

/// What can go wrong, for a time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// The regions do not hear each other; both reach the coordinator.
    Cut,
    /// A region does not reach the coordinator.
    Unreachable(Region),
    /// A keeper stands still; what it has asked for goes on.
    Paused(Region),
    /// A keeper is gone, and begins anew.
    Killed(Region),
    /// A database has crashed.
    Crashed(Region),
    /// All of a region is gone.
    Lost(Region),
}

#[derive(Debug)]
enum Item {
    Tick(Region),
    Write,
    /// The effect of an action, and its answer after that or, if it was given up before, none.
    Effect {
        by: Region,
        life: u32,
        asked: Time,
        action: Action,
        answers: bool,
    },
    Deliver {
        to: Region,
        life: u32,
        event: Event,
    },
}

#[derive(Debug)]
struct Side {
    /// None while it is gone.
    keeper: Option<Keeper>,
    life: u32,
    database: Database,
    /// The time of the last wish about names: earlier ones have no effect any more.
    last_names: Time,
    unreachable_until: Time,
    paused_until: Time,
    killed_until: Time,
    crashed_until: Time,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Time,
    /// A loss was accepted.
    pub(super) forced: bool,
    seed: u64,
    serial: u64,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    items: std::collections::BTreeMap<u64, Item>,
    sides: [Side; 2],
    coordinator: Coordinator,
    cut_until: Time,
    /// Of a hundred calls so many have no known outcome.
    unsure: u64,
    next_id: u64,
    acknowledged: [BTreeSet<u64>; 2],
    epochs: [u64; 2],
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let timing = Timing::default();
        let side = |me| Side {
            keeper: Some(Keeper::new(me, timing, Time::ZERO)),
            life: 0,
            database: Database::new(),
            last_names: Time::ZERO,
            unreachable_until: Time::ZERO,
            paused_until: Time::ZERO,
            killed_until: Time::ZERO,
            crashed_until: Time::ZERO,
        };
        let mut world = Self {
            now: Time::ZERO,
            forced: false,
            seed,
            serial: 0,
            queue: BinaryHeap::new(),
            items: std::collections::BTreeMap::new(),
            sides: Region::ALL.map(side),
            coordinator: Coordinator::default(),
            cut_until: Time::ZERO,
            unsure: 0,
            next_id: 0,
            acknowledged: Default::default(),
            epochs: [0; 2],
        };
        for region in Region::ALL {
            world.push(Time::ZERO, Item::Tick(region));
        }
        world.push(Time::ZERO, Item::Write);
        world
    }

    /// Splitmix64.
    pub(super) fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }

    fn millis(&mut self, from: u64, below: u64) -> Duration {
        Duration::from_millis(from + self.random(below - from))
    }

    fn push(&mut self, at: Time, item: Item) {
        self.serial += 1;
        self.queue.push(Reverse((at, self.serial)));
        self.items.insert(self.serial, item);
    }

    pub(super) fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    pub(super) fn run_until(&mut self, time: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + time;
        while let Some(Reverse((at, serial))) = self.queue.peek().copied().filter(|Reverse((at, _))| *at <= end) {
            self.queue.pop();
            self.now = self.now.max(at);
            let item = self.items.remove(&serial).expect("each serial has its item");
            self.pass();
            self.step(item);
            self.replicate();
            self.check();
            if done(self) {
                return;
            }
        }
        self.now = end;
    }

    /// What time itself does.
    fn pass(&mut self) {
        let now = self.now;
        self.coordinator.pass(now);
        for (region, side) in Region::ALL.into_iter().zip(&mut self.sides) {
            side.database.up |= now >= side.crashed_until;
            if side.keeper.is_none() && now >= side.killed_until {
                side.keeper = Some(Keeper::new(region, Timing::default(), now));
            }
        }
    }

    fn step(&mut self, item: Item) {
        match item {
            Item::Tick(region) => {
                self.push(self.now + TICK, Item::Tick(region));
                if self.now >= self.sides[region as usize].paused_until {
                    self.tell(region, Event::Tick);
                }
            }
            Item::Write => {
                self.push(self.now + TICK, Item::Write);
                for region in Region::ALL {
                    for home in Region::ALL {
                        self.next_id += 1;
                        let written = self.sides[region as usize].database.write(region, home, self.next_id, self.now);
                        if let Some((_, true)) = written {
                            self.acknowledged[home as usize].insert(self.next_id);
                        }
                    }
                }
            }
            Item::Effect { by, life, asked, action, answers } => {
                if let Some(event) = self.effect(by, asked, &action)
                    && answers
                {
                    let at = self.now + self.millis(0, 40);
                    self.push(at, Item::Deliver { to: by, life, event });
                }
            }
            Item::Deliver { to, life, event } => {
                let side = &self.sides[to as usize];
                if self.now < side.paused_until {
                    self.push(side.paused_until, Item::Deliver { to, life, event });
                } else if side.life == life {
                    self.tell(to, event);
                }
            }
        }
    }

    fn tell(&mut self, to: Region, event: Event) {
        let now = self.now;
        let Some(keeper) = &mut self.sides[to as usize].keeper else { return };
        let actions = keeper.on(event, now);
        for action in actions {
            self.begin(to, action);
        }
    }

    /// An action is under way: it takes its time, and its outcome may stay unknown.
    fn begin(&mut self, by: Region, action: Action) {
        if matches!(action, Action::Note(_)) {
            return;
        }
        let (asked, life) = (self.now, self.sides[by as usize].life);
        if matches!(action, Action::Names(_)) {
            self.sides[by as usize].last_names = asked;
        }
        let far = matches!(action, Action::Grant | Action::Renew { .. } | Action::View | Action::Write(_) | Action::AskPeer);
        let takes = if far { self.millis(20, 90) } else { self.millis(0, 10) };
        let is_unsure = self.random(100) < self.unsure || (far && self.is_away(by, &action));
        if !is_unsure {
            return self.push(asked + takes, Item::Effect { by, life, asked, action, answers: true });
        }
        self.push(asked + CALL, Item::Deliver { to: by, life, event: unanswered(&action, asked) });
        // Lost on the way there, on the way back, or carried out when nobody expects it any more.
        let late = match self.random(3) {
            0 => return,
            1 => takes,
            _ => CALL + self.millis(0, 3_000),
        };
        self.push(asked + late, Item::Effect { by, life, asked, action, answers: false });
    }

    fn is_away(&self, by: Region, action: &Action) -> bool {
        match action {
            Action::AskPeer => self.now < self.cut_until || self.sides[by.peer() as usize].keeper.is_none(),
            _ => self.now < self.sides[by as usize].unreachable_until,
        }
    }

    /// Carries an action out.
    fn effect(&mut self, by: Region, asked: Time, action: &Action) -> Option<Event> {
        let (now, ttl) = (self.now, Timing::default().ttl);
        if matches!(action, Action::Names(_)) && asked < self.sides[by as usize].last_names {
            return Some(Event::Named { done: None });
        }
        let streams = self.streams(by);
        let both = streams && self.streams(by.peer());
        let (database, peer) = {
            let [eu, us] = &mut self.sides;
            let (mine, other) = if by == Region::Eu { (eu, us) } else { (us, eu) };
            (&mut mine.database, other)
        };
        Some(match action {
            Action::Grant => Event::Granted { lease: Some(self.coordinator.grant(now, ttl)), sent: asked },
            Action::Renew { lease } => Event::Renewed { sent: asked, alive: Some(self.coordinator.renew(*lease, now, ttl)) },
            Action::View => Event::Viewed(Some(self.coordinator.view(asked))),
            Action::Write(txn) => {
                let before = Region::ALL.map(|home| self.coordinator.home(home));
                let revision = self.coordinator.txn(txn);
                for home in Region::ALL {
                    self.judge(before[home as usize], home);
                }
                Event::Written(revision.map_or(Outcome::Lost, Outcome::Won))
            }
            Action::Set { home, holder, epoch, until } => {
                database.set(by, *home, (*holder, *epoch), *until);
                if database.is_open(by, *home, now) && !self.forced {
                    let lost: Vec<_> = self.acknowledged[*home as usize].difference(&database.has[*home as usize]).collect();
                    assert!(lost.is_empty(), "{by} writes {home} without {lost:?}, which were acknowledged");
                }
                Event::Set { home: *home, done: database.up }
            }
            Action::Listen => {
                database.listening |= database.up;
                Event::Listened { done: database.up }
            }
            Action::Silence { home } => {
                database.listening &= !database.up;
                Event::Silenced { home: *home, done: database.up }
            }
            Action::Names(on) => {
                for (home, id, _) in database.wait(*on) {
                    self.acknowledged[home as usize].insert(id);
                }
                Event::Named { done: database.up.then_some(*on) }
            }
            Action::Settle { home } => Event::Settled { home: *home, done: streams && database.confirmed == database.log.len() },
            Action::Confirm => Event::Confirmed { done: streams && database.confirmed == database.log.len() },
            Action::Look => Event::Looked(database.up.then_some(Look {
                at: asked,
                names: database.names,
                streaming: streams,
                listening: database.listening,
                refused: database.refused.len() as u64,
                rows: database.rows,
            })),
            Action::AskPeer => {
                let keeper = peer.keeper.as_ref().filter(|_| now >= peer.paused_until && peer.database.up);
                let answer = |keeper: &Keeper| PeerLook { at: asked, is_ready: keeper.is_ready(now), rows: peer.database.rows };
                Event::PeerLooked(keeper.map(answer))
            }
            Action::CatchUp => {
                if both {
                    for (home, id, _) in std::mem::take(&mut database.refused) {
                        if !database.has[home as usize].contains(&id) {
                            peer.database.has[home as usize].remove(&id);
                        }
                    }
                }
                Event::CaughtUp { done: both }
            }
            Action::Note(_) => return None,
        })
    }

    /// Whether what a region writes reaches the other.
    fn streams(&self, from: Region) -> bool {
        let (mine, other) = (&self.sides[from as usize].database, &self.sides[from.peer() as usize].database);
        mine.up && other.up && other.listening && self.now >= self.cut_until
    }

    fn replicate(&mut self) {
        for from in Region::ALL {
            if !self.streams(from) {
                continue;
            }
            let [eu, us] = &mut self.sides;
            let (mine, other) = if from == Region::Eu { (eu, us) } else { (us, eu) };
            let mine = &mut mine.database;
            for place in mine.confirmed..mine.log.len() {
                let (home, id, _) = mine.log[place];
                let taken = other.database.apply(from.peer(), mine.log[place]);
                // A commit that waited and was refused is of unknown outcome to who waited: not acknowledged.
                if mine.waiting.contains(&place) && taken {
                    self.acknowledged[home as usize].insert(id);
                }
            }
            mine.confirmed = mine.log.len();
            mine.waiting.clear();
        }
    }

    /// What a change of a record must not do.
    fn judge(&mut self, before: Seen, home: Region) {
        let Some((record, _)) = self.coordinator.home(home).record else { return };
        let epoch = &mut self.epochs[home as usize];
        assert!(record.epoch >= *epoch, "{home}'s epoch went back");
        if let Some((old, _)) = before.record
            && old.holder != record.holder
        {
            assert!(record.epoch > *epoch, "{home} changed its holder within an epoch");
            // The holder itself may give it away, having seen to it that the other has everything.
            assert!(before.lease.is_some() || old.mode == Mode::Mirrored || self.forced, "{home} was taken though it was solo");
        }
        *epoch = record.epoch;
    }

    /// LEASE-1, and what a mirrored record means.
    fn check(&self) {
        for home in Region::ALL {
            let open = Region::ALL.map(|region| self.is_open(region, home));
            assert!(open != [true, true], "both regions write {home} at {:?}", self.now);
            let seen = self.coordinator.home(home);
            if let (Some((record, _)), Some(_)) = (seen.record, seen.lease)
                && record.mode == Mode::Mirrored
            {
                let names = self.sides[record.holder as usize].database.names;
                assert!(names, "{home} is mirrored, and {} does not wait for its peer", record.holder);
            }
        }
    }

    pub(super) fn is_open(&self, region: Region, home: Region) -> bool {
        self.sides[region as usize].database.is_open(region, home, self.now)
    }

    pub(super) fn record(&self, home: Region) -> Record {
        self.coordinator.home(home).record.expect("the home has a record").0
    }

    pub(super) fn stand(&self, region: Region, home: Region) -> Stand {
        self.sides[region as usize].keeper.as_ref().expect("it runs").stand(home)
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.iter().map(BTreeSet::len).sum()
    }

    /// Everything is as it should be when nothing is wrong.
    pub(super) fn assert_at_home(&self) {
        for home in Region::ALL {
            assert!(self.is_open(home, home), "{home} is not written at home: {:?}\n{:?}", self.record(home), self.sides);
            assert_eq!(self.record(home).mode, Mode::Mirrored, "{home}");
            let [eu, us] = &self.sides;
            assert_eq!(eu.database.has[home as usize], us.database.has[home as usize], "the regions differ in {home}");
            let has = &eu.database.has[home as usize];
            let lost: Vec<_> = self.acknowledged[home as usize].difference(has).collect();
            assert!(lost.is_empty() || self.forced, "{home} has lost {lost:?}");
        }
    }

    pub(super) fn drain(&mut self, region: Region, on: bool) {
        self.coordinator.drain(region, on);
    }

    pub(super) fn take(&mut self, by: Region, home: Region, force: bool) {
        self.tell(by, Event::Take { home, force });
    }

    /// Asks whoever holds a home to give it to the other.
    pub(super) fn hand_over(&mut self, home: Region, pinned: bool) {
        self.tell(self.record(home).holder, Event::Yield { home, pinned });
    }

    pub(super) fn fault(&mut self, fault: Fault, lasts: Duration) {
        let until = self.now + lasts;
        match fault {
            Fault::Cut => self.cut_until = until,
            Fault::Unreachable(region) => self.sides[region as usize].unreachable_until = until,
            Fault::Paused(region) => self.sides[region as usize].paused_until = until,
            Fault::Killed(region) => {
                let side = &mut self.sides[region as usize];
                (side.keeper, side.killed_until) = (None, until);
                side.life += 1;
            }
            Fault::Crashed(region) => {
                let side = &mut self.sides[region as usize];
                side.database.crash();
                side.crashed_until = until;
            }
            Fault::Lost(region) => {
                for fault in [Fault::Killed(region), Fault::Crashed(region), Fault::Unreachable(region)] {
                    self.fault(fault, lasts);
                }
            }
        }
    }

    pub(super) fn random_fault(&mut self) {
        let region = Region::ALL[usize::from(self.random(2) == 1)];
        self.unsure = [0, 2, 10, 30][usize::try_from(self.random(4)).expect("four")];
        let faults = [
            Fault::Cut,
            Fault::Unreachable(region),
            Fault::Paused(region),
            Fault::Killed(region),
            Fault::Crashed(region),
            Fault::Lost(region),
        ];
        let fault = faults[usize::try_from(self.random(6)).expect("six")];
        let lasts = self.millis(10, 9_000);
        self.fault(fault, lasts);
        let home = Region::ALL[usize::from(self.random(2) == 1)];
        match self.random(8) {
            0 if self.coordinator.home(home).record.is_some() => self.hand_over(home, false),
            1 => self.drain(home, true),
            2 => self.drain(home, false),
            3 => self.take(home.peer(), home, false),
            _ => {}
        }
    }

    pub(super) fn heal(&mut self) {
        self.unsure = 0;
        self.cut_until = self.now;
        for side in &mut self.sides {
            (side.unreachable_until, side.paused_until) = (self.now, self.now);
            (side.killed_until, side.crashed_until) = (self.now, self.now);
        }
        for region in Region::ALL {
            self.drain(region, false);
        }
    }

    /// What was taken or given by hand goes back by hand.
    pub(super) fn send_home(&mut self) {
        for home in Region::ALL {
            if self.record(home).holder != home {
                self.hand_over(home, false);
            }
        }
    }
}

/// What is heard of a call that nobody answered.
fn unanswered(action: &Action, sent: Time) -> Event {
    match action {
        Action::Grant => Event::Granted { lease: None, sent },
        Action::Renew { .. } => Event::Renewed { sent, alive: None },
        Action::View => Event::Viewed(None),
        Action::Write(_) => Event::Written(Outcome::Unknown),
        Action::Set { home, .. } => Event::Set { home: *home, done: false },
        Action::Listen => Event::Listened { done: false },
        Action::Silence { home } => Event::Silenced { home: *home, done: false },
        Action::Settle { home } => Event::Settled { home: *home, done: false },
        Action::Names(_) => Event::Named { done: None },
        Action::Confirm => Event::Confirmed { done: false },
        Action::Look => Event::Looked(None),
        Action::AskPeer => Event::PeerLooked(None),
        Action::CatchUp | Action::Note(_) => Event::CaughtUp { done: false },
    }
}
