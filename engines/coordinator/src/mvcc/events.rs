//! What has happened since a revision, for watches.

use bytes::Bytes;

use super::{History, Mvcc, Touched, Version, read::holds};
use crate::wire::mvccpb::{Event, KeyValue, event::EventType};

/// What a watch wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// First key.
    pub key: Bytes,
    /// End of the range, as etcd names it.
    pub range_end: Bytes,
    /// Whether puts are left out.
    pub no_put: bool,
    /// Whether deletes are left out.
    pub no_delete: bool,
    /// Whether each event tells what was there before.
    pub prev_kv: bool,
}

impl Mvcc {
    /// The events from revision `from` on, oldest first, whole revisions only, and the revision to go on from.
    ///
    /// At least one revision is read; after about `most` events no further one.
    ///
    /// # Errors
    /// The compacted revision, when `from` is below it.
    pub fn events(&self, filter: &Filter, from: i64, most: usize) -> Result<(Vec<Event>, i64), i64> {
        if from < self.compacted {
            return Err(self.compacted);
        }
        let start = self.changes.partition_point(|touched| touched.modified < from);
        let mut events = Vec::new();
        let mut last = from;
        for touched in self.changes.range(start..) {
            if events.len() >= most && touched.modified != last {
                return Ok((events, touched.modified));
            }
            last = touched.modified;
            events.extend(self.event(filter, touched));
        }
        Ok((events, from.max(self.revision + 1)))
    }

    fn event(&self, filter: &Filter, touched: &Touched) -> Option<Event> {
        if !holds(&filter.key, &filter.range_end, &touched.key) {
            return None;
        }
        let (version, before) = self.keys.get(&touched.key).and_then(|history| history.change(touched.modified))?;
        let is_delete = version.value.is_none();
        if (is_delete && filter.no_delete) || (!is_delete && filter.no_put) {
            return None;
        }
        let (kind, kv) = if is_delete {
            (EventType::Delete, KeyValue { key: touched.key.clone(), mod_revision: version.modified, ..KeyValue::default() })
        } else {
            (EventType::Put, version.kv(&touched.key))
        };
        let prev_kv = before.filter(|_| filter.prev_kv).map(|version| version.kv(&touched.key));
        Some(Event { r#type: kind.into(), kv: Some(kv), prev_kv })
    }
}

impl History {
    /// What a revision made of the key, and what it was before.
    fn change(&self, revision: i64) -> Option<(&Version, Option<&Version>)> {
        let index = self.0.binary_search_by_key(&revision, |version| version.modified).ok()?;
        let before = index.checked_sub(1).map(|before| &self.0[before]).filter(|version| version.value.is_some());
        Some((&self.0[index], before))
    }
}
