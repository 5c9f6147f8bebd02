//! A region's database in memory: fenced writes, the mirror with its waiting commits, refused rows.

use std::collections::BTreeSet;

use ids::Region;

use crate::Time;

/// A row that was written here, with its home and epoch.
pub(super) type Row = (Region, u64, u64);

#[derive(Debug)]
pub(super) struct Database {
    pub(super) up: bool,
    pub(super) names: bool,
    pub(super) listening: bool,
    /// Holder and epoch of each home, and until when it may be written.
    pub(super) rows: [Option<(Region, u64)>; 2],
    pub(super) until: [Time; 2],
    /// The ids of all rows, by home.
    pub(super) has: [BTreeSet<u64>; 2],
    /// What was written here, in order, and how much of it the peer has confirmed.
    pub(super) log: Vec<Row>,
    pub(super) confirmed: usize,
    /// Commits that wait for the peer, by their place in the log.
    pub(super) waiting: Vec<usize>,
    pub(super) refused: Vec<Row>,
}

impl Database {
    pub(super) fn new() -> Self {
        Self {
            up: true,
            names: false,
            listening: true,
            rows: [None; 2],
            until: [Time::ZERO; 2],
            has: Default::default(),
            log: Vec::new(),
            confirmed: 0,
            waiting: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// What a crash leaves: who waited has got an error, the table of homes is empty.
    pub(super) fn crash(&mut self) {
        (self.up, self.rows, self.until) = (false, [None; 2], [Time::ZERO; 2]);
        self.waiting.clear();
    }

    pub(super) fn is_open(&self, me: Region, home: Region, now: Time) -> bool {
        self.up && self.rows[home as usize].is_some_and(|(holder, _)| holder == me) && self.until[home as usize] > now
    }

    /// Who holds a home. What another holds, nobody waits for here any more.
    pub(super) fn set(&mut self, me: Region, home: Region, row: (Region, u64), until: Time) {
        if !self.up {
            return;
        }
        (self.rows[home as usize], self.until[home as usize]) = (Some(row), until);
        if row.0 != me {
            let log = &self.log;
            self.waiting.retain(|place| log[*place].0 != home);
        }
    }

    /// Has commits wait, or not: then those that waited are acknowledged.
    pub(super) fn wait(&mut self, on: bool) -> Vec<Row> {
        if !self.up {
            return Vec::new();
        }
        self.names = on;
        if on { Vec::new() } else { self.waiting.drain(..).map(|place| self.log[place]).collect() }
    }

    /// The row, and whether it is acknowledged at once.
    pub(super) fn write(&mut self, me: Region, home: Region, id: u64, now: Time) -> Option<(Row, bool)> {
        if !self.is_open(me, home, now) {
            return None;
        }
        let (_, epoch) = self.rows[home as usize]?;
        let row = (home, id, epoch);
        self.has[home as usize].insert(id);
        self.log.push(row);
        if self.names {
            self.waiting.push(self.log.len() - 1);
        }
        Some((row, !self.names))
    }

    /// Takes a row of the peer's. False when it is refused, and kept for a look.
    pub(super) fn apply(&mut self, me: Region, row: Row) -> bool {
        let (home, id, epoch) = row;
        let is_old = self.rows[home as usize].is_some_and(|(holder, known)| holder == me && epoch < known);
        if is_old {
            self.refused.push(row);
        } else {
            self.has[home as usize].insert(id);
        }
        !is_old
    }
}
