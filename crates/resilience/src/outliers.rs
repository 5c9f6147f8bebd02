//! Outlier ejection: one endpoint of many that fails or has become slow is left out, and comes back by probes.
//!
//! ```text
//! in ── consecutive errors, a share of errors, or a latency far from its peers' ──> out ── its time is over ──> probing ── successes ──> in, with little at first
//!                                                                                    ^                           │
//!                                                                                    └──── one fails: longer ────┘
//! ```

use std::time::Duration;

/// Who is an outlier, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ejecting {
    /// Errors one after the other.
    pub consecutive: u32,
    /// Or this share of the recent calls ..
    pub share: f64,
    /// .. or a mean latency so many times the median of its peers' ..
    pub slowness: f64,
    /// .. that is at least this ..
    pub slow: Duration,
    /// .. when so many calls are recent.
    pub least: u32,
    /// How long calls are recent.
    pub window: Duration,
    /// How long the first ejection lasts; each further one is twice as long ..
    pub pause: Duration,
    /// .. but no longer than this.
    pub longest_pause: Duration,
    /// Probes that must succeed, one after the other, before it is back.
    pub probes: u32,
    /// For how long it then gets less than its share.
    pub slow_start: Duration,
    /// At most this share of the endpoints is out; the last one never is.
    pub most_out: f64,
}

impl Default for Ejecting {
    fn default() -> Self {
        Self {
            consecutive: 5,
            share: 0.3,
            slowness: 4.0,
            slow: Duration::from_millis(2),
            least: 20,
            window: Duration::from_secs(2),
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(10),
            probes: 3,
            slow_start: Duration::from_secs(5),
            most_out: 0.5,
        }
    }
}

/// What an endpoint gets of the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its share.
    In,
    /// Nothing.
    Out,
    /// One at a time.
    Probing,
}

/// What is known of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outliers {
    place: Place,
    /// Ejections in a row.
    ejections: u32,
    consecutive: u32,
    younger: Recent,
    older: Recent,
    turned_at: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    In { since: Option<Duration> },
    Out { until: Duration },
    Probing { succeeded: u32 },
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Recent {
    all: u32,
    failed: u32,
    /// Of those that succeeded, seconds.
    took: f64,
}

impl Outliers {
    /// One that was there from the beginning has its whole share at once; one that has just come is warmed up.
    #[must_use]
    pub fn new(now: Duration, is_newcomer: bool) -> Self {
        Self {
            place: Place::In { since: is_newcomer.then_some(now) },
            ejections: 0,
            consecutive: 0,
            younger: Recent::default(),
            older: Recent::default(),
            turned_at: now,
        }
    }

    /// A call has ended. True when its errors alone are reason to eject it.
    pub fn end(&mut self, ejecting: &Ejecting, now: Duration, is_success: bool, took: Duration) -> bool {
        self.turn(ejecting, now);
        self.consecutive = if is_success { 0 } else { self.consecutive.saturating_add(1) };
        self.younger.all = self.younger.all.saturating_add(1);
        self.younger.failed = self.younger.failed.saturating_add(u32::from(!is_success));
        if is_success {
            self.younger.took += took.as_secs_f64();
        }
        match &mut self.place {
            Place::Probing { succeeded } if is_success => {
                *succeeded += 1;
                if *succeeded >= ejecting.probes {
                    self.place = Place::In { since: Some(now) };
                    self.forget();
                }
                false
            }
            Place::Probing { .. } => {
                self.eject(ejecting, now);
                false
            }
            Place::In { since } => {
                if since.is_some_and(|since| now.saturating_sub(since) >= ejecting.longest_pause.max(ejecting.slow_start)) {
                    *since = None;
                    self.ejections = 0;
                }
                self.fails(ejecting)
            }
            Place::Out { .. } => false,
        }
    }

    fn fails(&self, ejecting: &Ejecting) -> bool {
        let (all, failed) = (self.all(), self.younger.failed.saturating_add(self.older.failed));
        self.consecutive >= ejecting.consecutive.max(1) || (all >= ejecting.least && f64::from(failed) >= f64::from(all) * ejecting.share)
    }

    fn all(&self) -> u32 {
        self.younger.all.saturating_add(self.older.all)
    }

    /// Mean latency of the recent calls that succeeded, seconds, when enough did.
    pub fn mean(&mut self, ejecting: &Ejecting, now: Duration) -> Option<f64> {
        self.turn(ejecting, now);
        let good = self.all() - self.younger.failed.saturating_add(self.older.failed);
        (good >= ejecting.least.max(1)).then(|| (self.younger.took + self.older.took) / f64::from(good))
    }

    /// Whether a mean latency is far from the median of the peers'.
    #[must_use]
    pub fn is_slow(ejecting: &Ejecting, mean: f64, median: f64) -> bool {
        mean >= ejecting.slow.as_secs_f64() && mean >= median * ejecting.slowness
    }

    /// Leaves it out for a while.
    pub fn eject(&mut self, ejecting: &Ejecting, now: Duration) {
        let pause = ejecting.pause.saturating_mul(1u32.checked_shl(self.ejections).unwrap_or(u32::MAX)).min(ejecting.longest_pause);
        self.ejections = self.ejections.saturating_add(1);
        self.place = Place::Out { until: now + pause };
        self.forget();
    }

    fn forget(&mut self) {
        (self.younger, self.older, self.consecutive) = (Recent::default(), Recent::default(), 0);
    }

    /// What it gets now.
    pub fn verdict(&mut self, now: Duration) -> Verdict {
        if matches!(self.place, Place::Out { until } if now >= until) {
            self.place = Place::Probing { succeeded: 0 };
        }
        match self.place {
            Place::In { .. } => Verdict::In,
            Place::Out { .. } => Verdict::Out,
            Place::Probing { .. } => Verdict::Probing,
        }
    }

    /// How much of its share it gets, in `(0, 1]`.
    #[must_use]
    pub fn warmth(&self, ejecting: &Ejecting, now: Duration) -> f64 {
        match self.place {
            Place::In { since: Some(since) } if !ejecting.slow_start.is_zero() => {
                (now.saturating_sub(since).as_secs_f64() / ejecting.slow_start.as_secs_f64()).clamp(0.1, 1.0)
            }
            Place::In { .. } => 1.0,
            Place::Out { .. } | Place::Probing { .. } => 0.1,
        }
    }

    fn turn(&mut self, ejecting: &Ejecting, now: Duration) {
        let age = now.saturating_sub(self.turned_at);
        if age >= ejecting.window / 2 {
            self.older = if age < ejecting.window { self.younger } else { Recent::default() };
            self.younger = Recent::default();
            self.turned_at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn errors_are_seen_and_probes_bring_it_back_with_little_at_first() {
        let ejecting = Ejecting::default();
        let mut one = Outliers::new(Duration::ZERO, false);
        assert!((0..4).all(|_| !one.end(&ejecting, MS, false, MS)));
        assert!(one.end(&ejecting, MS, false, MS), "five in a row");
        one.eject(&ejecting, MS);
        assert_eq!(one.verdict(MS * 1000), Verdict::Out);
        assert_eq!(one.verdict(MS * 1001), Verdict::Probing);
        (0..3).for_each(|_| assert!(!one.end(&ejecting, MS * 1002, true, MS)));
        assert_eq!(one.verdict(MS * 1002), Verdict::In);
        assert!(one.warmth(&ejecting, MS * 1002) <= 0.1);
        assert!((one.warmth(&ejecting, MS * 3502) - 0.5).abs() < 0.01);
        assert!((one.warmth(&ejecting, MS * 6002) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_failed_probe_makes_it_longer() {
        let ejecting = Ejecting::default();
        let mut one = Outliers::new(Duration::ZERO, false);
        one.eject(&ejecting, Duration::ZERO);
        let mut now = Duration::ZERO;
        for pause in [1000, 2000, 4000, 8000, 10_000, 10_000] {
            assert_eq!(one.verdict(now + MS * (pause - 1)), Verdict::Out);
            now += MS * pause;
            assert_eq!(one.verdict(now), Verdict::Probing);
            one.end(&ejecting, now, false, MS);
        }
    }

    #[test]
    fn half_of_the_calls_failing_is_enough() {
        let ejecting = Ejecting::default();
        let mut one = Outliers::new(Duration::ZERO, false);
        let calls = (0u32..100).position(|call| one.end(&ejecting, MS * call, call % 2 == 0, MS));
        assert_eq!(calls, Some(19), "as soon as enough are known");
    }
}
