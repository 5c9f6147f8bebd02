//! Shoppers whose last change was made in the other region than theirs: they stay there until it has surely come to their own. Else who puts
//! something into a cart while their region fails for a moment would find it empty when they order.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderValue};
use ids::Region;
use tokio::time::Instant;

use crate::headers::cookie;

/// At least so long they stay, and at most twice as long: changes of carts are in the other region long before.
const STAY: Duration = Duration::from_secs(5);
/// Shoppers of one generation; with more of them the oldest go home earlier.
const GENERATION: usize = 100_000;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Strays {
    hasher: RandomState,
    generations: Arc<Mutex<Generations>>,
}

#[derive(Debug)]
struct Generations {
    young: HashMap<u64, Region>,
    old: HashMap<u64, Region>,
    since: Instant,
}

impl Generations {
    /// As they are at `now`.
    fn turn(&mut self, now: Instant) -> &mut Self {
        let age = now.saturating_duration_since(self.since);
        if age >= STAY || self.young.len() >= GENERATION {
            let young = std::mem::take(&mut self.young);
            self.old = if age >= STAY * 2 { HashMap::new() } else { young };
            self.since = now;
        }
        self
    }
}

/// Whose request it is, as short as it can be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shopper(u64);

impl Strays {
    pub(crate) fn new(now: Instant) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new(), since: now };
        Self { hasher: RandomState::new(), generations: Arc::new(Mutex::new(generations)) }
    }

    /// Whose request it is, if it says so.
    pub(crate) fn shopper(&self, headers: &HeaderMap) -> Option<Shopper> {
        let session = headers.get("x-session").map(HeaderValue::as_bytes).or_else(|| Some(cookie(headers, "session")?.as_bytes()))?;
        Some(Shopper(self.hasher.hash_one(session)))
    }

    /// Where the shopper stays for now.
    pub(crate) fn region(&self, Shopper(shopper): Shopper, now: Instant) -> Option<Region> {
        self.at(now, |generations| generations.young.get(&shopper).or_else(|| generations.old.get(&shopper)).copied())
    }

    /// A change was made in `region` by a shopper who would have gone to `own`.
    pub(crate) fn note(&self, Shopper(shopper): Shopper, region: Region, own: Region, now: Instant) {
        self.at(now, |generations| {
            generations.old.remove(&shopper);
            if region == own { generations.young.remove(&shopper) } else { generations.young.insert(shopper, region) }
        });
    }

    fn at<T>(&self, now: Instant, act: impl FnOnce(&mut Generations) -> T) -> T {
        act(self.generations.lock().unwrap_or_else(PoisonError::into_inner).turn(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shopper(strays: &Strays, name: &'static str, value: &'static str) -> Option<Shopper> {
        strays.shopper(&HeaderMap::from_iter([(name.try_into().unwrap(), HeaderValue::from_static(value))]))
    }

    #[test]
    fn a_stray_goes_home_after_a_while() {
        let begun = Instant::now();
        let strays = Strays::new(begun);
        let ada = shopper(&strays, "x-session", "ada").unwrap();
        assert_eq!(strays.region(ada, begun), None);
        let noted = begun + STAY - Duration::from_millis(1);
        strays.note(ada, Region::Us, Region::Eu, noted);
        assert_eq!(strays.region(ada, noted + STAY), Some(Region::Us), "the younger generation has become the older one");
        assert_eq!(strays.region(ada, noted + STAY * 2), None);
        strays.note(ada, Region::Us, Region::Eu, noted + STAY * 2);
        assert_eq!(strays.region(ada, noted + STAY * 5), None, "also when nobody asked meanwhile");
    }

    #[test]
    fn a_change_at_home_ends_it() {
        let now = Instant::now();
        let strays = Strays::new(now);
        let (ada, bob) = (shopper(&strays, "cookie", "session=ada").unwrap(), shopper(&strays, "cookie", "session=bob").unwrap());
        strays.note(ada, Region::Us, Region::Eu, now);
        assert_eq!((strays.region(ada, now), strays.region(bob, now)), (Some(Region::Us), None));
        strays.note(ada, Region::Eu, Region::Eu, now + STAY);
        assert_eq!(strays.region(ada, now + STAY), None);
        assert_eq!(shopper(&strays, "cookie", "region=eu"), None);
    }
}
