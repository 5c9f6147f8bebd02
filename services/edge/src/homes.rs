//! What the region services say of the homes: which region holds each, and whether it is drained. Pure.
//!
//! Several tell of the same home, and one that is cut off may tell of what was. The highest epoch wins. What nobody has said again for a
//! while is forgotten; without a word from any of them no home has a known holder.

use std::time::{Duration, Instant};

use ids::Region;

use crate::both::Both;

/// What a region service says of a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The region that may write it.
    pub(crate) holder: Region,
    /// How many holders there have been; the fencing token.
    pub(crate) epoch: u64,
    /// The region of the home's name is to have no new shoppers.
    pub(crate) is_drained: bool,
}

/// What was said of both homes, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Homes {
    heard: Both<Option<(Claim, Instant)>>,
    /// How long it counts.
    patience: Duration,
}

impl Homes {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { heard: Both::default(), patience }
    }

    /// A region service says so now.
    pub(crate) fn hear(&mut self, home: Region, claim: Claim, now: Instant) {
        if self.claim(home, now).is_none_or(|known| claim.epoch >= known.epoch) {
            self.heard[home] = Some((claim, now));
        }
    }

    /// What is known of a home now.
    pub(crate) fn claim(&self, home: Region, now: Instant) -> Option<Claim> {
        self.heard[home].filter(|(_, at)| now.saturating_duration_since(*at) <= self.patience).map(|(claim, _)| claim)
    }

    /// The region that may write rows of `home`.
    pub(crate) fn holder(&self, home: Region, now: Instant) -> Option<Region> {
        self.claim(home, now).map(|claim| claim.holder)
    }

    /// Whether `region` may write nothing: the other one holds its home, and it does not hold the other's.
    pub(crate) fn is_fenced(&self, region: Region, now: Instant) -> bool {
        let peer = region.peer();
        self.holder(region, now) == Some(peer) && self.holder(peer, now) != Some(region)
    }

    /// Whether an operator wants no new shoppers in `region`.
    pub(crate) fn is_drained(&self, region: Region, now: Instant) -> bool {
        self.claim(region, now).is_some_and(|claim| claim.is_drained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Region::{Eu, Us};
    use proptest::prelude::*;

    const PATIENCE: Duration = Duration::from_secs(3);

    fn claim(holder: Region, epoch: u64) -> Claim {
        Claim { holder, epoch, is_drained: false }
    }

    #[test]
    fn the_highest_epoch_wins_until_it_is_old() {
        let (mut homes, now) = (Homes::new(PATIENCE), Instant::now());
        assert_eq!(homes.holder(Eu, now), None);
        homes.hear(Eu, claim(Eu, 7), now);
        homes.hear(Eu, claim(Us, 8), now + Duration::from_secs(1));
        homes.hear(Eu, claim(Eu, 7), now + Duration::from_secs(4));
        assert_eq!(homes.holder(Eu, now + Duration::from_secs(4)), Some(Us));
        assert_eq!(homes.holder(Eu, now + Duration::from_secs(5)), None, "nobody says so any more");
        homes.hear(Eu, claim(Eu, 7), now + Duration::from_secs(5));
        assert_eq!(homes.holder(Eu, now + Duration::from_secs(5)), Some(Eu));
    }

    #[test]
    fn a_region_without_a_home_is_fenced() {
        let (mut homes, now) = (Homes::new(PATIENCE), Instant::now());
        assert!(!homes.is_fenced(Eu, now), "nothing is known");
        homes.hear(Eu, claim(Us, 2), now);
        assert!(homes.is_fenced(Eu, now), "of the other home nothing is known");
        homes.hear(Us, claim(Us, 1), now);
        assert!(homes.is_fenced(Eu, now) && !homes.is_fenced(Us, now));
        homes.hear(Us, claim(Eu, 2), now);
        assert!(!homes.is_fenced(Eu, now) && !homes.is_fenced(Us, now), "each holds one");
        homes.hear(Eu, Claim { is_drained: true, ..claim(Eu, 3) }, now);
        assert!(!homes.is_fenced(Eu, now) && homes.is_drained(Eu, now) && !homes.is_drained(Us, now));
    }

    fn region() -> impl Strategy<Value = Region> {
        prop::sample::select(Region::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn never_are_both_fenced(claims in prop::collection::vec((region(), region(), 0_u64..5), 0..20)) {
            let (mut homes, now) = (Homes::new(PATIENCE), Instant::now());
            for (home, holder, epoch) in claims {
                homes.hear(home, claim(holder, epoch), now);
                prop_assert!(!(homes.is_fenced(Eu, now) && homes.is_fenced(Us, now)));
            }
        }

        #[test]
        fn in_whatever_order_they_are_heard_the_highest_epoch_counts(claims in prop::collection::vec((region(), 0_u64..50), 1..20)) {
            let (mut homes, now) = (Homes::new(PATIENCE), Instant::now());
            for &(holder, epoch) in &claims {
                homes.hear(Eu, claim(holder, epoch), now);
            }
            let highest = claims.iter().map(|(_, epoch)| *epoch).max();
            prop_assert_eq!(homes.claim(Eu, now).map(|claim| claim.epoch), highest);
        }
    }
}
