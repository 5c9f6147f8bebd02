//! Who is killed when: drawn from a seed, the same for the same seed.

use std::{collections::BTreeSet, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// A process by its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    pub(crate) region: String,
    pub(crate) name: String,
}

/// One kill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Strike {
    /// Since the first could have come.
    pub(crate) after: Duration,
    /// Who.
    pub(crate) part: Part,
}

/// All parts, each once, in one order.
pub(crate) fn parts(running: impl Iterator<Item = (String, String)>) -> Vec<Part> {
    running.map(|(region, name)| Part { region, name }).collect::<BTreeSet<_>>().into_iter().collect()
}

/// A kill every one to two seconds. Parts are drawn from a bag that is filled again when it is empty, so each has its turn.
pub(crate) fn draw(seed: u64, length: Duration, parts: &[Part]) -> Vec<Strike> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut strikes = Vec::new();
    let mut bag: Vec<Part> = Vec::new();
    let mut after = Duration::ZERO;
    loop {
        after += Duration::from_millis(random.random_range(1000..2000));
        if after >= length || parts.is_empty() {
            return strikes;
        }
        if bag.is_empty() {
            bag = parts.to_vec();
        }
        let part = bag.swap_remove(random.random_range(0..bag.len()));
        strikes.push(Strike { after, part });
    }
}
