//! Which region had a request with which idempotency key.
//!
//! A repeat must go where the first one went, or to the region that holds its home by then: before it holds it, the other one may not have the
//! order, and would make a second one. The newest keys are remembered, in memory: an edge that was started anew relies on `X-Region`.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use ids::Region;

use crate::{headers::cookie, route};

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
    young: HashMap<u64, Held>,
    old: HashMap<u64, Held>,
}

/// The region that has a key, and how many requests with it may have reached that region.
#[derive(Debug, Clone, Copy)]
struct Held {
    region: Region,
    requests: u32,
}

impl Generations {
    fn get(&self, key: Key) -> Option<Held> {
        self.young.get(&key.0).or_else(|| self.old.get(&key.0)).copied()
    }
}

/// An idempotency key, as short as it can be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(u64);

impl Keys {
    /// The key of a request, if it has one. Two shoppers may use the same: it is known by its session too.
    pub(crate) fn of(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Key> {
        let of_form = || route::form_key(method, uri).map(str::as_bytes);
        let key = headers.get("idempotency-key").map(HeaderValue::as_bytes).or_else(of_form)?;
        let session = headers.get("x-session").map(HeaderValue::as_bytes).or_else(|| Some(cookie(headers, "session")?.as_bytes()));
        Some(Key(self.hasher.hash_one((session, key))))
    }

    /// The region that had it.
    pub(crate) fn region(&self, key: Key) -> Option<Region> {
        self.lock().get(key).map(|held| held.region)
    }

    /// `region` is about to have it. Returns the other region, if that had it before.
    pub(crate) fn note(&self, key: Key, region: Region) -> Option<Region> {
        let mut generations = self.lock();
        let before = generations.get(key);
        if generations.young.len() >= GENERATION {
            generations.old = std::mem::take(&mut generations.young);
        }
        let requests = before.filter(|held| held.region == region).map_or(0, |held| held.requests);
        generations.young.insert(key.0, Held { region, requests: requests.saturating_add(1) });
        before.map(|held| held.region).filter(|before| *before != region)
    }

    /// It did not get to `region` after all: what was so `before` is so again, unless another request with it may have got there. Returns the
    /// region that has it now.
    pub(crate) fn take_back(&self, key: Key, region: Region, before: Option<Region>) -> Option<Region> {
        let mut generations = self.lock();
        if let Some(held) = generations.get(key).filter(|held| held.region == region) {
            let requests = held.requests.saturating_sub(1);
            generations.old.remove(&key.0);
            generations.young.remove(&key.0);
            let rest = if requests > 0 { Some(Held { requests, ..held }) } else { before.map(|region| Held { region, requests: 1 }) };
            if let Some(rest) = rest {
                generations.young.insert(key.0, rest);
            }
        }
        generations.get(key).map(|held| held.region)
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(keys: &Keys, text: &str) -> Key {
        of(keys, "/api/orders", &[("idempotency-key", text)]).unwrap()
    }

    fn of(keys: &Keys, uri: &'static str, headers: &[(&'static str, &str)]) -> Option<Key> {
        let header = |(name, value): &(&'static str, &str)| ((*name).try_into().unwrap(), HeaderValue::from_str(value).unwrap());
        keys.of(&Method::POST, &Uri::from_static(uri), &headers.iter().map(header).collect())
    }

    #[test]
    fn a_key_is_known_until_many_newer_ones_came() {
        let keys = Keys::default();
        let first = key(&keys, "first");
        assert_eq!(keys.region(first), None);
        assert_eq!(keys.note(first, Region::Us), None);
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
        let of = |headers| of(&keys, "/api/orders", headers).unwrap();
        let ada = of(&[("idempotency-key", "1"), ("x-session", "ada")]);
        assert_eq!(ada, of(&[("idempotency-key", "1"), ("x-session", "ada")]));
        assert_ne!(ada, of(&[("idempotency-key", "1"), ("x-session", "bob")]));
        assert_ne!(ada, of(&[("idempotency-key", "1"), ("cookie", "session=bob")]));
    }

    #[test]
    fn a_forms_key_is_in_its_address() {
        let keys = Keys::default();
        let form = of(&keys, "/checkout?key=k", &[("cookie", "session=ada")]);
        assert!(form.is_some());
        assert_eq!(form, of(&keys, "/orders/1/cancel?key=k", &[("cookie", "session=ada")]));
        assert_eq!(of(&keys, "/cart/lines/A?key=k", &[("cookie", "session=ada")]), None);
    }

    #[test]
    fn what_did_not_get_there_is_taken_back() {
        let keys = Keys::default();
        let key = key(&keys, "k");
        let before = keys.note(key, Region::Eu);
        assert_eq!(keys.take_back(key, Region::Eu, before), None);
        keys.note(key, Region::Eu);
        let before = keys.note(key, Region::Us);
        assert_eq!((before, keys.region(key)), (Some(Region::Eu), Some(Region::Us)));
        assert_eq!(keys.take_back(key, Region::Us, before), Some(Region::Eu));
        assert_eq!(of(&keys, "/api/orders", &[]), None);
    }

    #[test]
    fn what_another_request_brought_there_stays() {
        let keys = Keys::default();
        let key = key(&keys, "k");
        let (one, other) = (keys.note(key, Region::Eu), keys.note(key, Region::Eu));
        assert_eq!(keys.take_back(key, Region::Eu, one), Some(Region::Eu), "the other one may have got there");
        assert_eq!(keys.take_back(key, Region::Eu, other), None);
        let one = keys.note(key, Region::Eu);
        keys.note(key, Region::Us);
        assert_eq!(keys.take_back(key, Region::Eu, one), Some(Region::Us), "it has moved on");
    }
}
