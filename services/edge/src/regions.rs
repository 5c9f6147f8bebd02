//! What the edge knows of the regions: told by probes, by the region services and by refused connections, asked for each request.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ids::Region;
use tokio::sync::watch;

use crate::{
    both::Both,
    config::{Address, Config},
    health::{Health, Opinion, Probe},
    homes::{Claim, Homes},
    metrics,
    nearest::Nearest,
};

/// Rounds of questions after which what nobody says any more is forgotten.
const ROUNDS: u32 = 6;

/// Both regions as they are seen at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) health: Both<Health>,
    /// Who holds each home, where that is known.
    pub(crate) holder: Both<Option<Region>>,
    /// The region for those who say nothing of where they are.
    pub(crate) nearest: Region,
}

impl Sight {
    /// The region that goes on with what `region` began: its peer once that holds its home.
    pub(crate) fn heir(&self, region: Region) -> Region {
        self.holder[region].unwrap_or(region)
    }
}

/// Both regions. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Regions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    addresses: Both<Address>,
    known: watch::Sender<Known>,
}

/// All that was heard.
#[derive(Debug, Clone, Copy)]
struct Known {
    opinions: Both<Opinion>,
    homes: Homes,
    nearest: Nearest,
}

impl Known {
    fn sight(&self, now: Instant) -> Sight {
        let health = |region| match self.opinions[region].health {
            Health::Healthy if self.homes.is_fenced(region, now) => Health::Fenced,
            Health::Healthy if self.homes.is_drained(region, now) => Health::Drained,
            health => health,
        };
        let holder = |home| self.homes.holder(home, now);
        Sight {
            health: Both { eu: health(Region::Eu), us: health(Region::Us) },
            holder: Both { eu: holder(Region::Eu), us: holder(Region::Us) },
            nearest: self.nearest.region(),
        }
    }
}

impl Regions {
    pub(crate) fn new(config: &Config) -> Self {
        let homes = Homes::new(config.lease_interval.saturating_mul(ROUNDS));
        let known = Known { opinions: Both::default(), homes, nearest: Nearest::default() };
        let addresses = Both { eu: config.eu.clone(), us: config.us.clone() };
        Self(Arc::new(Inner { addresses, known: watch::Sender::new(known) }))
    }

    pub(crate) fn address(&self, region: Region) -> &Address {
        &self.0.addresses[region]
    }

    pub(crate) fn sight(&self) -> Sight {
        self.0.known.borrow().sight(Instant::now())
    }

    /// What is known of a home.
    pub(crate) fn claim(&self, home: Region) -> Option<Claim> {
        self.0.known.borrow().homes.claim(home, Instant::now())
    }

    /// How far a region is, once that is known.
    pub(crate) fn distance(&self, region: Region) -> Option<Duration> {
        self.0.known.borrow().nearest.distance(region)
    }

    pub(crate) fn is_any_well(&self) -> bool {
        let sight = self.sight();
        Region::ALL.iter().any(|&region| sight.health[region].is_well())
    }

    /// Tells of every change from now on.
    pub(crate) fn changes(&self) -> Changes {
        Changes(self.0.known.subscribe())
    }

    /// A connection to `region` could not be made.
    pub(crate) fn refused(&self, region: Region) {
        self.revise(|known| known.opinions[region] = known.opinions[region].after_refusal());
    }

    /// A probe of `region` took so long and found this.
    pub(crate) fn probed(&self, region: Region, probe: Probe, time: Duration) {
        self.revise(|known| {
            known.opinions[region] = known.opinions[region].after(probe);
            if probe == Probe::Ready {
                known.nearest.hear(region, time);
            }
        });
    }

    /// A region service says so of a home.
    pub(crate) fn claimed(&self, home: Region, claim: Claim) {
        self.revise(|known| known.homes.hear(home, claim, Instant::now()));
    }

    /// Notes what was heard, and tells those who wait when it is news.
    fn revise(&self, hear: impl FnOnce(&mut Known)) {
        self.0.known.send_if_modified(|known| {
            let now = Instant::now();
            let before = known.sight(now);
            hear(known);
            let after = known.sight(now);
            announce(&before, &after);
            before != after
        });
    }
}

fn announce(before: &Sight, after: &Sight) {
    for region in Region::ALL {
        let health = after.health[region];
        if before.health[region] != health {
            tracing::info!(edge.region = %region, health = health.as_str(), "region changed");
        }
        if let Some(holder) = after.holder[region].filter(|_| before.holder[region] != after.holder[region]) {
            tracing::info!(edge.home = %region, edge.holder = %holder, "holder known");
        }
        metrics::set_health(region, health);
    }
    if before.nearest != after.nearest {
        tracing::info!(edge.region = %after.nearest, "nearest region changed");
    }
}

/// Changes of what is known.
#[derive(Debug)]
pub(crate) struct Changes(watch::Receiver<Known>);

impl Changes {
    /// The regions as they are. [`Changes::next`] tells of what comes after.
    pub(crate) fn sight(&mut self) -> Sight {
        self.0.borrow_and_update().sight(Instant::now())
    }

    /// Ends with the next change.
    pub(crate) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Ends when there is no point any more in waiting for `region`: it goes down, or `is_bound` to a home that the other region holds by
    /// then. What was so before does not count.
    pub(crate) async fn left(mut self, region: Region, is_bound: bool) {
        let is_lost = |sight: Sight| (sight.health[region] == Health::Down, is_bound && sight.heir(region) != region);
        let mut was = is_lost(self.sight());
        loop {
            self.next().await;
            let is = is_lost(self.sight());
            if (is.0 && !was.0) || (is.1 && !was.1) {
                return;
            }
            was = is;
        }
    }
}
