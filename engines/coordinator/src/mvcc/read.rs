//! Ranges: etcd's way to name keys, and reads of them as they are or were.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, btree_map},
    ops::Bound,
};

use bytes::Bytes;

use super::{History, Mvcc, Version};
use crate::{
    Refusal,
    wire::etcdserverpb::{
        RangeRequest, RangeResponse,
        range_request::{SortOrder, SortTarget},
    },
};

type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// The bounds that etcd means by a key and a range end: none = the key alone, `\0` = all keys from it on.
///
/// Ranges that hold nothing give none.
fn bounds<'a>(key: &'a [u8], end: &'a [u8]) -> Option<Bounds<'a>> {
    match end {
        [] => Some((Bound::Included(key), Bound::Included(key))),
        [0] => Some((Bound::Included(key), Bound::Unbounded)),
        _ if key < end => Some((Bound::Included(key), Bound::Excluded(end))),
        _ => None,
    }
}

/// Whether a range, named as etcd does, holds `key`.
pub(super) fn holds(from: &[u8], end: &[u8], key: &[u8]) -> bool {
    match end {
        [] => key == from,
        [0] => key >= from,
        _ => key >= from && key < end,
    }
}

impl Mvcc {
    pub(super) fn within<'a>(&'a self, key: &[u8], end: &[u8]) -> btree_map::Range<'a, Bytes, History> {
        // An empty tree stands for an empty range.
        static NOTHING: BTreeMap<Bytes, History> = BTreeMap::new();
        match bounds(key, end) {
            Some(bounds) => self.keys.range::<[u8], _>(bounds),
            None => NOTHING.range::<[u8], _>(..),
        }
    }

    /// The revision to read at: 0 or less means now.
    pub(super) fn readable(&self, revision: i64) -> Result<i64, Refusal> {
        match revision {
            ..=0 => Ok(self.revision),
            _ if revision > self.revision => Err(Refusal::FutureRevision),
            _ if revision < self.compacted => Err(Refusal::Compacted),
            _ => Ok(revision),
        }
    }

    /// Reads a range.
    ///
    /// # Errors
    /// When the revision is gone or has not been yet.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        let mut response = self.range_at(request, self.readable(request.revision)?);
        response.header = self.header();
        Ok(response)
    }

    pub(super) fn range_at(&self, request: &RangeRequest, revision: i64) -> RangeResponse {
        let found = self.within(&request.key, &request.range_end).filter_map(|(key, history)| Some((key, history.at(revision)?)));
        if request.count_only {
            return RangeResponse { count: count(found.count()), ..RangeResponse::default() };
        }
        let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0);
        let (mut total, mut kept): (usize, Vec<(&Bytes, &Version)>) = (0, Vec::new());
        let all = is_sorted(request) || limit.is_none();
        for (key, version) in found {
            total += 1;
            if is_wanted(request, version) && (all || limit.is_none_or(|limit| kept.len() <= limit)) {
                kept.push((key, version));
            }
        }
        sort(request, &mut kept);
        let more = limit.is_some_and(|limit| kept.len() > limit);
        kept.truncate(limit.unwrap_or(usize::MAX));
        let kvs = kept.into_iter().map(|(key, version)| {
            let mut kv = version.kv(key);
            if request.keys_only {
                kv.value = Bytes::new();
            }
            kv
        });
        RangeResponse { header: None, kvs: kvs.collect(), more, count: count(total) }
    }
}

fn count(keys: usize) -> i64 {
    i64::try_from(keys).unwrap_or(i64::MAX)
}

/// Each bound counts unless it is 0.
fn is_wanted(request: &RangeRequest, version: &Version) -> bool {
    let above = |least: i64, revision: i64| least == 0 || revision >= least;
    let below = |most: i64, revision: i64| most == 0 || revision <= most;
    above(request.min_mod_revision, version.modified)
        && below(request.max_mod_revision, version.modified)
        && above(request.min_create_revision, version.created)
        && below(request.max_create_revision, version.created)
}

/// Whether the order is another than that of the keys, which they come in anyway.
fn is_sorted(request: &RangeRequest) -> bool {
    request.sort_order() == SortOrder::Descend || request.sort_target() != SortTarget::Key
}

fn sort(request: &RangeRequest, kept: &mut [(&Bytes, &Version)]) {
    if !is_sorted(request) {
        return;
    }
    let by = |left: &(&Bytes, &Version), right: &(&Bytes, &Version)| -> Ordering {
        match request.sort_target() {
            SortTarget::Key => left.0.cmp(right.0),
            SortTarget::Version => left.1.version.cmp(&right.1.version),
            SortTarget::Create => left.1.created.cmp(&right.1.created),
            SortTarget::Mod => (left.1.modified, left.1.sub).cmp(&(right.1.modified, right.1.sub)),
            SortTarget::Value => left.1.value.cmp(&right.1.value),
        }
    };
    kept.sort_by(|left, right| if request.sort_order() == SortOrder::Descend { by(right, left) } else { by(left, right) });
}
