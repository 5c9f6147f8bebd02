//! The keeper's transactions: which, and what follows from how they end.

use ids::Region;

use super::{Action, Keeper, Note, Outcome, Stand, home::Phase};
use crate::{Check, Key, Mode, Record, Time, Txn, Write};

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To hold a home, under this lease.
    Acquire { home: Region, record: Record, lease: i64, took: Option<bool> },
    /// To give a home to the peer.
    Give { home: Region, record: Record },
    /// To change a record once more, so that an earlier change of it is dead.
    Reclaim { home: Region, record: Record },
    /// To have all records that are held say solo.
    Solo([Option<Record>; 2]),
    /// To have a record say what is so.
    Tidy { home: Region, record: Record },
}

impl Keeper {
    pub(super) fn writes(&mut self, now: Time, actions: &mut Vec<Action>) {
        let is_fresh = self.view.is_some_and(|view| view.asked >= self.fresh_from && now.saturating_sub(view.asked) < self.timing.broken);
        let Some(lease) = self.hold.lease().filter(|_| self.hold.until() > now) else { return };
        if self.writing.is_some() || !is_fresh || !self.is_database_well(now, self.timing.broken) {
            return;
        }
        let Some((purpose, txn)) = self.reclaim(lease).or_else(|| self.give(lease)).or_else(|| self.solo(lease)).or_else(|| {
            let next = Region::ALL.into_iter().find_map(|home| self.acquire(home, lease, now));
            next.or_else(|| Region::ALL.into_iter().find_map(|home| self.tidy(home, lease)))
        }) else {
            return;
        };
        if let Purpose::Give { home, .. } = purpose {
            // Until it is known, it has to be taken for given.
            self.homes[home as usize].phase = Phase::Reclaiming;
        }
        self.writing = Some(purpose);
        actions.push(Action::Write(txn));
    }

    /// What any change of a record that is held here compares, and the change.
    fn rewrite(&self, home: Region, lease: i64, record: Record) -> Option<Txn> {
        let (_, revision) = self.homes[home as usize].record?;
        Some(Txn {
            checks: vec![Check::Revision(Key::Record(home), revision), Check::Under(Key::Lease(home), lease)],
            writes: vec![Write::Record(home, record)],
        })
    }

    /// These checks, and that no other record has changed either. So taking a home and going solo exclude one another, however late one comes.
    fn known(&self, mut checks: Vec<Check>) -> Vec<Check> {
        for home in &self.homes {
            let key = Key::Record(home.home);
            let check = home.record.map_or(Check::Absent(key), |(_, revision)| Check::Revision(key, revision));
            if !checks.contains(&check) {
                checks.push(check);
            }
        }
        checks
    }

    fn yielding(&self, phase: Phase) -> Option<(Region, Record, bool)> {
        let mut homes = self.homes.iter().filter(|home| home.stand == Stand::Yielding && home.phase == phase);
        homes.find_map(|home| Some((home.home, home.record?.0, home.pinned)))
    }

    fn reclaim(&self, lease: i64) -> Option<(Purpose, Txn)> {
        let (home, record, _) = self.yielding(Phase::Reclaiming)?;
        Some((Purpose::Reclaim { home, record }, self.rewrite(home, lease, record)?))
    }

    fn give(&self, lease: i64) -> Option<(Purpose, Txn)> {
        let (home, before, pinned) = self.yielding(Phase::Giving)?;
        // Now the peer has everything, and until it writes so does this region.
        let record = Record { holder: self.me.peer(), epoch: before.epoch + 1, mode: Mode::Mirrored, pinned, adopting: false };
        let mut txn = self.rewrite(home, lease, record)?;
        txn.writes.push(Write::Release(home));
        Some((Purpose::Give { home, record }, txn))
    }

    fn solo(&mut self, lease: i64) -> Option<(Purpose, Txn)> {
        if !self.mode.tells() {
            return None;
        }
        let (mut records, mut txn) = ([None; 2], Txn::default());
        for home in self.homes.iter().filter(|home| home.stand != Stand::Apart) {
            let (before, _) = home.record?;
            let record = Record { mode: Mode::Solo, adopting: home.stand == Stand::Silencing, ..before };
            let change = self.rewrite(home.home, lease, record)?;
            records[home.home as usize] = Some(record);
            txn.checks.extend(change.checks);
            txn.writes.extend(change.writes);
        }
        if txn.writes.is_empty() {
            self.mode.stays();
            return None;
        }
        txn.checks = self.known(txn.checks);
        Some((Purpose::Solo(records), txn))
    }

    /// Takes a home that is this region's, that was given to it, or whose holder is gone.
    fn acquire(&self, home: Region, lease: i64, now: Time) -> Option<(Purpose, Txn)> {
        let known = &self.homes[home as usize];
        if known.stand != Stand::Apart || !self.mode.is_known() {
            return None;
        }
        let claim = |before| self.claim(before);
        // Higher than what the database has from a coordinator that was lost.
        let epoch = 1 + self.look.and_then(|look| look.rows[home as usize]).map_or(0, |(_, epoch)| epoch);
        let first = Record { holder: self.me, epoch, mode: claim(None), pinned: false, adopting: false };
        let (record, checks, took) = match (known.record, known.seen.lease) {
            (None, None) if home == self.me => (first, vec![Check::Absent(Key::Record(home)), Check::Absent(Key::Lease(home))], None),
            (Some((before, revision)), under) if before.holder == self.me => {
                let (epoch, key) = match under {
                    None => (before.epoch + 1, Check::Absent(Key::Lease(home))),
                    // An earlier process of this region's: the same database, the same epoch.
                    Some((holder, earlier)) if holder == self.me => (before.epoch, Check::Under(Key::Lease(home), earlier)),
                    Some(_) => return None,
                };
                (Record { epoch, mode: claim(Some(before)), ..before }, vec![Check::Revision(Key::Record(home), revision), key], None)
            }
            (Some((before, revision)), None) => {
                let wanted = known.wanted.filter(|(until, _)| now < *until);
                let is_lossy = before.mode != Mode::Mirrored;
                let is_gone = known.gone_since.is_some_and(|since| now.saturating_sub(since) >= self.timing.patience);
                let is_due = is_gone && now.saturating_sub(self.started) >= self.timing.warm_up;
                let may = if is_lossy { wanted.is_some_and(|(_, force)| force) } else { is_due || wanted.is_some() };
                if !may {
                    return None;
                }
                // One that is taken by hand stays until it is given back by hand; one that failed goes back by itself.
                let pinned = home != self.me && wanted.is_some();
                let record = Record { holder: self.me, epoch: before.epoch + 1, mode: claim(None), pinned, adopting: true };
                (record, vec![Check::Revision(Key::Record(home), revision), Check::Absent(Key::Lease(home))], Some(is_lossy))
            }
            _ => return None,
        };
        let writes = vec![Write::Record(home, record), Write::Lease { home, holder: self.me, lease }];
        Some((Purpose::Acquire { home, record, lease, took }, Txn { checks: self.known(checks), writes }))
    }

    fn tidy(&self, home: Region, lease: i64) -> Option<(Purpose, Txn)> {
        let known = &self.homes[home as usize];
        let (before, _) = known.record.filter(|_| known.stand == Stand::Held)?;
        let mode = if self.mode.may_claim(false) && self.mode.is_well() { Mode::Mirrored } else { before.mode };
        let record = Record { mode, adopting: false, ..before };
        let change = self.rewrite(home, lease, record)?;
        (record != before).then_some((Purpose::Tidy { home, record }, change))
    }

    pub(super) fn written(&mut self, outcome: Outcome, now: Time, actions: &mut Vec<Action>) {
        let Some(purpose) = self.writing.take() else { return };
        (self.fresh_from, self.viewing.next) = (now, now);
        match purpose {
            Purpose::Acquire { home, record, lease, took } => {
                if let (Outcome::Won(revision), true) = (outcome, self.hold.lease() == Some(lease)) {
                    let known = &mut self.homes[home as usize];
                    (known.record, known.seen.lease) = (Some((record, revision)), Some((self.me, lease)));
                    (known.gone_since, known.wanted) = (None, None);
                    known.stand = if record.adopting { Stand::Silencing } else { Stand::Held };
                    let held = Note::Held(home, record.epoch);
                    actions.push(Action::Note(took.map_or(held, |lossy| Note::TookOver { home, epoch: record.epoch, lossy })));
                }
            }
            Purpose::Give { home, record } => self.gave(home, record, outcome, now, actions),
            Purpose::Reclaim { home, record } => {
                self.rewritten(home, record, outcome);
                let known = &mut self.homes[home as usize];
                if outcome != Outcome::Unknown && known.stand == Stand::Yielding {
                    known.stand = if outcome == Outcome::Lost { Stand::Apart } else { Stand::Held };
                    actions.push(Action::Note(Note::HandoverGivenUp(home)));
                }
            }
            Purpose::Solo(records) => {
                for (home, record) in Region::ALL.into_iter().zip(records) {
                    if let Some(record) = record {
                        self.rewritten(home, record, outcome);
                    }
                }
                if matches!(outcome, Outcome::Won(_)) {
                    self.mode.told();
                }
            }
            Purpose::Tidy { home, record } => {
                let before = self.record(home);
                self.rewritten(home, record, outcome);
                if matches!(outcome, Outcome::Won(_)) && before.is_some_and(|before| before.mode != record.mode) {
                    actions.push(Action::Note(Note::Mode(record.mode)));
                }
            }
        }
    }

    fn rewritten(&mut self, home: Region, record: Record, outcome: Outcome) {
        if let Outcome::Won(revision) = outcome {
            self.homes[home as usize].record = Some((record, revision));
        }
    }

    fn gave(&mut self, home: Region, record: Record, outcome: Outcome, now: Time, actions: &mut Vec<Action>) {
        self.rewritten(home, record, outcome);
        let known = &mut self.homes[home as usize];
        match outcome {
            Outcome::Won(_) => {
                (known.stand, known.seen.lease, known.gone_since) = (Stand::Apart, None, Some(now));
                actions.push(Action::Note(Note::HandedOver(home, record.epoch)));
            }
            Outcome::Lost => known.stand = Stand::Apart,
            Outcome::Unknown => {}
        }
    }
}
