//! Which region had a request with which idempotency key.
//!
//! A key is known to its region alone, so a repeat must go where the first one went, also when that region has gone down meanwhile:
//! the other one would do it a second time. The newest keys are remembered, in memory: an edge that was started anew relies on `X-Region`.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::http::{HeaderMap, HeaderValue};
use ids::Region;

use crate::headers::cookie;

/// Keys of one generation. Two are kept, so at least this many of the newest keys are known.
const GENERATION: usize = 100_000;

/// The newest keys. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys {
    hasher: RandomState,
    generations: Arc<Mutex<Generations>>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u64, Region>,
    old: HashMap<u64, Region>,
}

/// An idempotency key, as short as it can be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(u64);

impl Keys {
    /// The key of a request, if it has one. Two shoppers may use the same: it is known by its session too.
    pub(crate) fn of(&self, headers: &HeaderMap) -> Option<Key> {
        let key = headers.get("idempotency-key")?.as_bytes();
        let session = headers.get("x-session").map(HeaderValue::as_bytes).or_else(|| Some(cookie(headers, "session")?.as_bytes()));
        Some(Key(self.hasher.hash_one((session, key))))
    }

    /// The region that had it.
    pub(crate) fn region(&self, key: Key) -> Option<Region> {
        let generations = self.lock();
        generations.young.get(&key.0).or_else(|| generations.old.get(&key.0)).copied()
    }

    /// `region` is about to have it. False when that is known.
    pub(crate) fn note(&self, key: Key, region: Region) -> bool {
        let mut generations = self.lock();
        if generations.young.len() >= GENERATION {
            generations.old = std::mem::take(&mut generations.young);
        }
        let known = generations.young.insert(key.0, region).or_else(|| generations.old.get(&key.0).copied());
        known != Some(region)
    }

    /// It was not sent after all.
    pub(crate) fn forget(&self, key: Key) {
        self.lock().young.remove(&key.0);
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(keys: &Keys, text: &str) -> Key {
        keys.of(&HeaderMap::from_iter([("idempotency-key".parse().unwrap(), HeaderValue::from_str(text).unwrap())])).unwrap()
    }

    #[test]
    fn a_key_is_known_until_many_newer_ones_came() {
        let keys = Keys::default();
        let first = key(&keys, "first");
        assert_eq!(keys.region(first), None);
        assert!(keys.note(first, Region::Us));
        assert!(!keys.note(first, Region::Us));
        for number in 0..GENERATION {
            keys.note(key(&keys, &number.to_string()), Region::Eu);
        }
        assert_eq!(keys.region(first), Some(Region::Us));
        for number in GENERATION..3 * GENERATION {
            keys.note(key(&keys, &number.to_string()), Region::Eu);
        }
        assert_eq!(keys.region(first), None);
    }

    #[test]
    fn two_shoppers_may_use_the_same_key() {
        let keys = Keys::default();
        let of = |headers: [(&'static str, &'static str); 2]| {
            let headers = headers.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
            keys.of(&HeaderMap::from_iter(headers)).unwrap()
        };
        let ada = of([("idempotency-key", "1"), ("x-session", "ada")]);
        assert_eq!(ada, of([("idempotency-key", "1"), ("x-session", "ada")]));
        assert_ne!(ada, of([("idempotency-key", "1"), ("x-session", "bob")]));
        assert_ne!(ada, of([("idempotency-key", "1"), ("cookie", "session=bob")]));
    }

    #[test]
    fn what_was_not_sent_is_forgotten() {
        let keys = Keys::default();
        let key = key(&keys, "k");
        keys.note(key, Region::Eu);
        keys.forget(key);
        assert_eq!(keys.region(key), None);
        assert_eq!(keys.of(&HeaderMap::new()), None);
    }
}
