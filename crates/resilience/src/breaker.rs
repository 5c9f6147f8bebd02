//! A circuit breaker: a dependency that fails is left alone for a while, and let back in by probes.
//!
//! ```text
//! closed ── too many of the recent calls fail ──> open ── its pause is over ──> half-open ── all probes succeed ──> closed
//!                                                  ^                              │
//!                                                  └──── a probe fails: longer ───┘
//! ```

use std::time::Duration;

/// When it opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Breaking {
    /// Opens when this share of the recent calls has failed ..
    pub share: f64,
    /// .. of at least so many.
    pub least: u32,
    /// How long calls are recent.
    pub window: Duration,
    /// The first pause; each further one is twice as long ..
    pub pause: Duration,
    /// .. but no longer than this.
    pub longest_pause: Duration,
    /// Calls that are let through when the pause is over; all must succeed.
    pub probes: u32,
}

impl Default for Breaking {
    fn default() -> Self {
        Self {
            share: 0.5,
            least: 20,
            window: Duration::from_secs(10),
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(10),
            probes: 3,
        }
    }
}

/// What it lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Everything.
    Closed,
    /// Nothing.
    Open,
    /// Probes.
    HalfOpen,
}

/// A call that is not let through, and when to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the dependency has failed too often and is left alone for {} ms", .0.as_millis())]
pub struct Refused(pub Duration);

/// A call that was let through. What became of one from before the last change of state says nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass(u64);

/// The breaker of one dependency.
#[derive(Debug, Clone, PartialEq)]
pub struct Breaker {
    place: Place,
    /// Changes of state so far.
    changes: u64,
    /// Pauses in a row without a recovery between.
    pauses: u32,
    /// Calls of the half window that is being filled, and of the one before.
    younger: Calls,
    older: Calls,
    turned_at: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Closed,
    Open { until: Duration },
    HalfOpen { begun: u32, succeeded: u32, since: Duration },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Calls {
    all: u32,
    failed: u32,
}

impl Breaker {
    /// Closed.
    #[must_use]
    pub fn new(now: Duration) -> Self {
        Self { place: Place::Closed, changes: 0, pauses: 0, younger: Calls::default(), older: Calls::default(), turned_at: now }
    }

    /// Asks for a call. Whoever is let through tells how it [`ended`](Self::end), unless it was cancelled, which says nothing.
    ///
    /// # Errors
    /// When it is open.
    pub fn begin(&mut self, breaking: &Breaking, now: Duration) -> Result<Pass, Refused> {
        match &mut self.place {
            Place::Closed => {}
            Place::Open { until } if now < *until => return Err(Refused(until.saturating_sub(now))),
            Place::Open { .. } => self.become_(Place::HalfOpen { begun: 1, succeeded: 0, since: now }),
            Place::HalfOpen { begun, .. } if *begun < breaking.probes => *begun += 1,
            // Probes that never end must not keep it half-open for ever: others take their place.
            Place::HalfOpen { since, .. } if now.saturating_sub(*since) >= breaking.longest_pause => {
                self.become_(Place::HalfOpen { begun: 1, succeeded: 0, since: now });
            }
            Place::HalfOpen { .. } => return Err(Refused(breaking.pause)),
        }
        Ok(Pass(self.changes))
    }

    /// Tells how a call ended.
    pub fn end(&mut self, breaking: &Breaking, now: Duration, pass: Pass, is_success: bool) {
        if pass != Pass(self.changes) {
            return;
        }
        match &mut self.place {
            Place::Closed => {
                self.turn(breaking, now);
                self.younger.all = self.younger.all.saturating_add(1);
                self.younger.failed = self.younger.failed.saturating_add(u32::from(!is_success));
                if self.is_too_much(breaking) {
                    self.open(breaking, now);
                }
            }
            Place::HalfOpen { succeeded, .. } if is_success => {
                *succeeded += 1;
                if *succeeded >= breaking.probes {
                    self.pauses = 0;
                    self.become_(Place::Closed);
                }
            }
            Place::HalfOpen { .. } => self.open(breaking, now),
            Place::Open { .. } => {}
        }
    }

    fn become_(&mut self, place: Place) {
        self.place = place;
        self.changes += 1;
        (self.younger, self.older) = (Calls::default(), Calls::default());
    }

    /// What it lets through now.
    #[must_use]
    pub fn state(&self, now: Duration) -> State {
        match self.place {
            Place::Closed => State::Closed,
            Place::Open { until } if now < until => State::Open,
            Place::Open { .. } | Place::HalfOpen { .. } => State::HalfOpen,
        }
    }

    fn turn(&mut self, breaking: &Breaking, now: Duration) {
        let age = now.saturating_sub(self.turned_at);
        if age >= breaking.window / 2 {
            self.older = if age < breaking.window { self.younger } else { Calls::default() };
            self.younger = Calls::default();
            self.turned_at = now;
        }
    }

    fn is_too_much(&self, breaking: &Breaking) -> bool {
        let (all, failed) = (self.younger.all.saturating_add(self.older.all), self.younger.failed.saturating_add(self.older.failed));
        all >= breaking.least.max(1) && f64::from(failed) >= f64::from(all) * breaking.share
    }

    fn open(&mut self, breaking: &Breaking, now: Duration) {
        let pause = breaking.pause.saturating_mul(1u32.checked_shl(self.pauses).unwrap_or(u32::MAX)).min(breaking.longest_pause);
        self.pauses = self.pauses.saturating_add(1);
        self.become_(Place::Open { until: now + pause });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn opened(breaking: &Breaking) -> Breaker {
        let mut breaker = Breaker::new(Duration::ZERO);
        for _ in 0..breaking.least {
            let pass = breaker.begin(breaking, Duration::ZERO).unwrap();
            breaker.end(breaking, Duration::ZERO, pass, false);
        }
        breaker
    }

    #[test]
    fn it_opens_probes_and_closes() {
        let breaking = Breaking::default();
        let mut breaker = opened(&breaking);
        assert_eq!(breaker.begin(&breaking, SECOND / 2), Err(Refused(SECOND / 2)));
        let passes = [(); 3].map(|()| breaker.begin(&breaking, SECOND).unwrap());
        assert!(breaker.begin(&breaking, SECOND).is_err(), "three probes");
        passes.into_iter().for_each(|pass| breaker.end(&breaking, SECOND, pass, true));
        assert_eq!(breaker.state(SECOND), State::Closed);
    }

    #[test]
    fn each_failed_probe_makes_the_pause_longer_up_to_the_longest() {
        let breaking = Breaking::default();
        let mut breaker = opened(&breaking);
        let mut now = Duration::ZERO;
        for pause in [1, 2, 4, 8, 10, 10] {
            assert_eq!(breaker.begin(&breaking, now), Err(Refused(SECOND * pause)));
            now += SECOND * pause;
            let pass = breaker.begin(&breaking, now).unwrap();
            breaker.end(&breaking, now, pass, false);
        }
    }

    #[test]
    fn failures_that_are_long_ago_do_not_count() {
        let breaking = Breaking::default();
        let mut breaker = Breaker::new(Duration::ZERO);
        for step in 0..200 {
            let pass = breaker.begin(&breaking, SECOND * step).unwrap();
            breaker.end(&breaking, SECOND * step, pass, false);
            assert_eq!(breaker.state(SECOND * step), State::Closed, "at most ten are recent");
        }
    }

    #[test]
    fn a_call_from_before_it_opened_is_no_probe() {
        let breaking = Breaking::default();
        let mut breaker = Breaker::new(Duration::ZERO);
        let early = breaker.begin(&breaking, Duration::ZERO).unwrap();
        for _ in 0..20 {
            let pass = breaker.begin(&breaking, Duration::ZERO).unwrap();
            breaker.end(&breaking, Duration::ZERO, pass, false);
        }
        breaker.begin(&breaking, SECOND).unwrap();
        breaker.end(&breaking, SECOND, early, false);
        assert_eq!(breaker.state(SECOND), State::HalfOpen);
    }

    #[test]
    fn probes_that_never_end_give_way() {
        let breaking = Breaking::default();
        let mut breaker = opened(&breaking);
        for _ in 0..3 {
            breaker.begin(&breaking, SECOND).unwrap();
        }
        assert!(breaker.begin(&breaking, SECOND * 10).is_err());
        assert!(breaker.begin(&breaking, SECOND * 11).is_ok());
    }

    proptest! {
        /// Whatever happens: whoever asks at least once a second is not refused for longer than two of its longest pauses, and it lets no more than its
        /// probes through while it is half-open.
        #[test]
        fn it_never_stays_shut_and_never_floods(steps in prop::collection::vec((0u64..1500, any::<bool>(), any::<bool>(), 0usize..50), 1..400)) {
            let breaking = Breaking { least: 5, ..Breaking::default() };
            let mut breaker = Breaker::new(Duration::ZERO);
            let (mut now, mut under_way, mut shut_since): (_, Vec<Pass>, _) = (Duration::ZERO, Vec::new(), None);
            let mut asked = now;
            for (pause, begins, is_success, which) in steps {
                now += Duration::from_millis(pause);
                if !begins && !under_way.is_empty() {
                    let pass = under_way.swap_remove(which % under_way.len());
                    breaker.end(&breaking, now, pass, is_success);
                    continue;
                }
                if now - asked > SECOND {
                    shut_since = None;
                }
                asked = now;
                match breaker.begin(&breaking, now) {
                    Ok(pass) => {
                        shut_since = None;
                        under_way.push(pass);
                        if breaker.state(now) == State::HalfOpen {
                            let probes = under_way.iter().filter(|other| **other == pass).count();
                            prop_assert!(probes <= breaking.probes as usize);
                        }
                    }
                    Err(Refused(wait)) => {
                        prop_assert!(wait <= breaking.longest_pause);
                        let since = *shut_since.get_or_insert(now);
                        prop_assert!(now - since <= (breaking.longest_pause + SECOND) * 2);
                    }
                }
            }
        }
    }
}
