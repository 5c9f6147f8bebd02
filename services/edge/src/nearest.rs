//! Which region answers fastest. Pure.
//!
//! A region's distance is its quickest probe of the last few: load makes probes slower and never quicker, so the quickest tells of the way
//! alone. The other region must be nearer by a margin, in either direction, so two that are about equal leave things as they are.

use std::time::Duration;

use ids::Region;

use crate::both::Both;

/// Probes that are looked at, of each region. With fewer nothing is said: 8 s at two probes a second.
const WINDOW: usize = 16;
/// Less is not worth a change.
const MARGIN: Duration = Duration::from_millis(15);

/// The nearest region. At first eu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nearest {
    region: Region,
    probes: Both<Window>,
}

/// The newest probes of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Window {
    times: [Duration; WINDOW],
    count: usize,
}

impl Window {
    fn push(&mut self, time: Duration) {
        self.times[self.count % WINDOW] = time;
        self.count += 1;
    }

    fn quickest(&self) -> Option<Duration> {
        self.times.iter().min().copied().filter(|_| self.count >= WINDOW)
    }
}

impl Default for Nearest {
    fn default() -> Self {
        Self { region: Region::Eu, probes: Both::default() }
    }
}

impl Nearest {
    pub(crate) fn region(&self) -> Region {
        self.region
    }

    /// How far a region is, once that is known.
    pub(crate) fn distance(&self, region: Region) -> Option<Duration> {
        self.probes[region].quickest()
    }

    /// A good probe of `region` took so long.
    pub(crate) fn hear(&mut self, region: Region, time: Duration) {
        self.probes[region].push(time);
        let peer = self.region.peer();
        if let (Some(here), Some(there)) = (self.distance(self.region), self.distance(peer))
            && there + MARGIN.max(here / 4) <= here
        {
            self.region = peer;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(rounds: usize, eu: u64, us: u64, mut nearest: Nearest) -> Nearest {
        for _ in 0..rounds {
            nearest.hear(Region::Eu, Duration::from_millis(eu));
            nearest.hear(Region::Us, Duration::from_millis(us));
        }
        nearest
    }

    #[test]
    fn the_nearer_region_is_found_and_left_again_when_it_moves_away() {
        let near = after(WINDOW - 1, 80, 2, Nearest::default());
        assert_eq!(near.region(), Region::Eu, "too few probes");
        let near = after(1, 80, 2, near);
        assert_eq!((near.region(), near.distance(Region::Us)), (Region::Us, Some(Duration::from_millis(2))));
        assert_eq!(after(WINDOW, 80, 90, near).region(), Region::Us, "about equal");
        assert_eq!(after(WINDOW, 80, 120, near).region(), Region::Eu);
    }

    #[test]
    fn load_makes_no_region_far() {
        let mut nearest = Nearest::default();
        for round in 0..100 {
            nearest.hear(Region::Eu, Duration::from_millis(if round % WINDOW == 0 { 3 } else { 700 }));
            nearest.hear(Region::Us, Duration::from_millis(1));
        }
        assert_eq!(nearest.region(), Region::Eu);
    }

    proptest! {
        #[test]
        fn regions_that_are_about_equal_change_nothing(
            begins_in_us: bool, base in 0_u64..200, probes in prop::collection::vec((any::<bool>(), 0_u64..14), 0..200),
        ) {
            let mut nearest = if begins_in_us { after(WINDOW, 500, base, Nearest::default()) } else { Nearest::default() };
            let before = nearest.region();
            if begins_in_us {
                // What made it so is over.
                nearest = after(WINDOW, base, base, nearest);
            }
            for (is_eu, extra) in probes {
                nearest.hear(if is_eu { Region::Eu } else { Region::Us }, Duration::from_millis(base + extra));
            }
            prop_assert_eq!(nearest.region(), before);
        }

        #[test]
        fn steady_distances_make_at_most_one_change(eu in 0_u64..300, us in 0_u64..300) {
            let mut nearest = Nearest::default();
            let mut changes = 0;
            for _ in 0..4 * WINDOW {
                let before = nearest.region();
                nearest = after(1, eu, us, nearest);
                changes += usize::from(nearest.region() != before);
            }
            prop_assert!(changes <= 1);
            prop_assert_eq!(changes == 1, 1000 * us + 15_000.max(250 * eu) <= 1000 * eu);
        }
    }
}
