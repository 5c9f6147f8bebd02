//! What a look at the coordinator showed.

use ids::Region;

use crate::{
    Time,
    record::{Key, Record},
    wire::mvccpb::KeyValue,
};

/// One home as the coordinator has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Its record and the revision at which that was last changed.
    pub record: Option<(Record, i64)>,
    /// Who lives as its holder, and under which lease.
    pub lease: Option<(Region, i64)>,
}

/// All of it at one instant, not before it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct View {
    /// When it was asked for.
    pub asked: Time,
    /// The homes, as in [`Region::ALL`].
    pub homes: [Seen; 2],
    /// The regions that shall get no new shoppers.
    pub drained: [bool; 2],
}

impl View {
    /// Reads the keys of a range. A record that makes no sense is as none, which nobody can take: its key is there.
    pub(crate) fn read(asked: Time, keys: &[KeyValue]) -> Self {
        let mut view = Self { asked, ..Self::default() };
        for pair in keys {
            match Key::parse(&pair.key) {
                Some(Key::Record(home)) => {
                    view.homes[home as usize].record = serde_json::from_slice(&pair.value).ok().map(|record| (record, pair.mod_revision));
                }
                Some(Key::Lease(home)) => {
                    let holder = std::str::from_utf8(&pair.value).ok().and_then(|text| text.parse().ok());
                    view.homes[home as usize].lease = holder.map(|holder| (holder, pair.lease));
                }
                Some(Key::Drained(region)) => view.drained[region as usize] = true,
                None => {}
            }
        }
        view
    }
}
