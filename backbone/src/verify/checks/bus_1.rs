//! BUS-1: a committed change has its event published, at least once, in order per key, and applied once.
//!
//! ```text
//! outbox rows of a topic ──┐
//!                          ├─> Topic: as sets, order per key, growing versions ─┐
//! its messages ────────────┤                                                    ├─> violations
//!                          └─> Consumer: what was heard was applied, once ──────┘
//! inbox rows of a consumer ────────────────────────────────────────────────────┘
//! ```
//! Rows that are dropped by now are not missed: a message older than the oldest row stands alone, and only its version is looked at.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use promises::BUS_1;
use uuid::Uuid;

use crate::verify::{
    facts::{Millis, made_at},
    finding::Findings,
};

/// Which moments are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Nothing older: it may be dropped by now.
    pub since: Millis,
    /// Nothing younger: it may be on its way.
    pub horizon: Millis,
}

impl Span {
    fn judges(&self, id: Uuid) -> bool {
        made_at(id).is_some_and(|at| (self.since..=self.horizon).contains(&at))
    }
}

/// A committed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Whose outbox: ids of one outbox are in order.
    pub outbox: u8,
    /// Its id there.
    pub id: i64,
    /// Its event's id.
    pub event_id: Uuid,
    /// Aggregate id.
    pub key: String,
    /// When it was written.
    pub created_at: Millis,
}

/// Where a message stands: partition and offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At(pub i32, pub i64);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

/// A message on a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it stands.
    pub at: At,
    /// Its event's id.
    pub event_id: Uuid,
    /// Aggregate id.
    pub key: String,
    /// E.g. `order.placed`.
    pub kind: String,
    /// The aggregate's version, where the event tells it.
    pub version: Option<u64>,
}

#[derive(Debug)]
struct Written {
    outbox: u8,
    id: i64,
    key: u64,
    created_at: Millis,
    is_seen: bool,
}

#[derive(Debug, Default)]
struct Last {
    row: HashMap<u8, i64>,
    version: u64,
}

fn digest(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// One topic of one region.
#[derive(Debug)]
pub struct Topic {
    name: String,
    span: Span,
    /// Kafka keeps only the newest message of each key.
    is_compacted: bool,
    rows: HashMap<Uuid, Written>,
    oldest_row: Millis,
    strangers: HashSet<Uuid>,
    last: HashMap<u64, Last>,
    messages: usize,
    repeats: usize,
}

impl Topic {
    /// A topic, shown as `name`, of which nothing is known yet.
    #[must_use]
    pub fn new(name: String, span: Span, is_compacted: bool) -> Self {
        Self {
            name,
            span,
            is_compacted,
            rows: HashMap::new(),
            oldest_row: Millis::MAX,
            strangers: HashSet::new(),
            last: HashMap::new(),
            messages: 0,
            repeats: 0,
        }
    }

    /// Takes a row of an outbox. All rows come before all messages.
    pub fn row(&mut self, row: &Row, findings: &mut Findings) {
        self.oldest_row = self.oldest_row.min(row.created_at);
        let written = Written { outbox: row.outbox, id: row.id, key: digest(&row.key), created_at: row.created_at, is_seen: false };
        if self.rows.insert(row.event_id, written).is_some() {
            findings.broken(BUS_1, self.subject(row.event_id), "stands in the outbox twice");
        }
    }

    /// Takes a message, in the order of its partition.
    pub fn message(&mut self, message: &Message, findings: &mut Findings) {
        self.messages += 1;
        let subject = self.subject(message.event_id);
        let key = digest(&message.key);
        let is_first = match self.rows.get_mut(&message.event_id) {
            Some(row) => !std::mem::replace(&mut row.is_seen, true),
            None => self.strangers.insert(message.event_id),
        };
        if !is_first {
            self.repeats += 1;
            return;
        }
        let last = self.last.entry(key).or_default();
        if let Some(row) = self.rows.get(&message.event_id) {
            if row.key != key {
                findings.broken(BUS_1, &subject, format!("has key {} at {}, and another one in the outbox", message.key, message.at));
            }
            let before = last.row.insert(row.outbox, row.id);
            if let Some(before) = before.filter(|before| *before > row.id) {
                let text = format!("row {} came at {} behind row {before} of its key {}", row.id, message.at, message.key);
                findings.broken(BUS_1, &subject, text);
            }
        } else if made_at(message.event_id).is_some_and(|at| at >= self.oldest_row) && self.span.judges(message.event_id) {
            // Its transaction may have been on its way when the rows were read.
            findings.unsettled(BUS_1, &subject, format!("is in Kafka at {} and was not committed", message.at));
        }
        if let Some(version) = message.version {
            if version <= last.version {
                let text =
                    format!("{} at {} has version {version} behind {} of its key {}", message.kind, message.at, last.version, message.key);
                findings.broken(BUS_1, &subject, text);
            }
            last.version = last.version.max(version);
        }
    }

    fn subject(&self, event_id: Uuid) -> String {
        format!("event {event_id} of {}", self.name)
    }

    /// What is missing once all messages were read.
    pub fn finish(self, findings: &mut Findings) {
        let mut newest: HashMap<(u64, u8), i64> = HashMap::new();
        if self.is_compacted {
            for row in self.rows.values() {
                let id = newest.entry((row.key, row.outbox)).or_insert(row.id);
                *id = (*id).max(row.id);
            }
        }
        let is_replaced = |row: &Written| newest.get(&(row.key, row.outbox)).is_some_and(|newest| *newest > row.id);
        let missing = self.rows.iter().filter(|(_, row)| !row.is_seen && row.created_at <= self.span.horizon && !is_replaced(row));
        for (event_id, row) in missing {
            findings.unsettled(BUS_1, self.subject(*event_id), format!("was committed as row {} and is not in Kafka", row.id));
        }
        findings.looked_at(BUS_1, "committed", self.rows.len());
        findings.looked_at(BUS_1, "published", self.messages);
        findings.looked_at(BUS_1, "of them repeats", self.repeats);
    }
}

/// What a consumer keeps of an event in its inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The event's id.
    Event,
    /// The key's own UUID: something else than the event may apply it, and either does it once.
    Key,
}

/// What a consumer hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hears {
    /// Whose inbox.
    pub schema: &'static str,
    /// Its name in the inbox.
    pub consumer: &'static str,
    /// Topics, each with the kinds that it must apply.
    pub from: &'static [(&'static str, &'static [&'static str])],
    /// What it keeps.
    pub mark: Mark,
}

/// One consumer's inbox.
#[derive(Debug)]
pub struct Consumer {
    hears: Hears,
    /// As in `order in eu`.
    name: String,
    span: Span,
    applied: HashMap<Uuid, bool>,
    dead_letters: HashMap<Uuid, String>,
    missing: HashMap<Uuid, (&'static str, At)>,
}

impl Consumer {
    /// A consumer in a region that has applied nothing yet.
    #[must_use]
    pub fn new(hears: Hears, region: &str, span: Span) -> Self {
        let name = format!("consumer '{}' of {} in {region}", hears.consumer, hears.schema);
        Self { hears, name, span, applied: HashMap::new(), dead_letters: HashMap::new(), missing: HashMap::new() }
    }

    /// Takes a row of the inbox. All rows come before all messages.
    pub fn row(&mut self, id: Uuid, findings: &mut Findings) {
        if self.applied.insert(id, false).is_some() {
            findings.broken(BUS_1, format!("event {id}"), format!("was applied twice by {}", self.name));
        }
    }

    /// Takes an event that it put to the dead letters, and why.
    pub fn dead_letter(&mut self, id: Uuid, cause: String) {
        self.dead_letters.insert(id, cause);
    }

    /// Takes a message of a topic.
    pub fn message(&mut self, topic: &str, message: &Message) {
        let Some((topic, kinds)) = self.hears.from.iter().find(|(heard, _)| *heard == topic) else { return };
        let id = match self.hears.mark {
            Mark::Event => Some(message.event_id),
            Mark::Key => message.key.parse().ok(),
        };
        let Some(id) = id else { return };
        match self.applied.get_mut(&id) {
            Some(is_heard) => *is_heard = true,
            None if kinds.contains(&&*message.kind) && self.span.judges(message.event_id) => {
                self.missing.insert(id, (*topic, message.at));
            }
            None => {}
        }
    }

    /// What was not applied, or applied without an event.
    pub fn finish(self, findings: &mut Findings) {
        for (id, (topic, at)) in &self.missing {
            let subject = format!("event {id} of {topic} at {at}");
            match self.dead_letters.get(id) {
                Some(cause) => findings.broken(BUS_1, subject, format!("is among the dead letters of {}: {cause}", self.name)),
                None => findings.unsettled(BUS_1, subject, format!("was not applied by {}", self.name)),
            }
        }
        if self.hears.mark == Mark::Event {
            for (id, _) in self.applied.iter().filter(|(id, is_heard)| !**is_heard && self.span.judges(**id)) {
                // It may have come to Kafka after the end that was read.
                findings.unsettled(BUS_1, format!("event {id}"), format!("was applied by {} and is in none of its topics", self.name));
            }
        }
        findings.looked_at(BUS_1, "applied", self.applied.len());
    }
}

#[cfg(test)]
mod tests;
