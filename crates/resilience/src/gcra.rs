//! Rate limits: the generic cell rate algorithm, a leaky bucket that keeps one number.

use std::time::Duration;

/// So many in so long, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quota {
    /// Between two, when they come evenly.
    pub interval: Duration,
    /// How many may come at once; at least 1.
    pub burst: u32,
}

impl Quota {
    /// `per_second` in the long run, and `burst` at once. A rate that is no positive number allows the burst an hour.
    #[must_use]
    pub fn per_second(per_second: f64, burst: u32) -> Self {
        let interval = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(Duration::from_secs(3600));
        Self { interval: interval.clamp(Duration::from_nanos(1), Duration::from_secs(3600)), burst: burst.max(1) }
    }
}

/// The limit of one caller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gcra {
    /// When the next would come if all had come evenly.
    expected: Duration,
}

impl Gcra {
    /// One comes.
    ///
    /// # Errors
    /// How long to wait, when it is one too many. It does not count then.
    pub fn take(&mut self, quota: &Quota, now: Duration) -> Result<(), Duration> {
        let tolerance = quota.interval.saturating_mul(quota.burst.max(1) - 1);
        let expected = self.expected.max(now);
        let early = expected - now;
        if early > tolerance {
            return Err(early - tolerance);
        }
        self.expected = expected.saturating_add(quota.interval);
        Ok(())
    }

    /// Whether it is as if none had come, so that it need not be kept.
    #[must_use]
    pub fn is_idle(&self, now: Duration) -> bool {
        self.expected <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// In any span there are at most the burst and what the rate gives for it.
        #[test]
        fn no_span_has_more_than_its_rate_and_the_burst(
            pauses in prop::collection::vec(0u64..200, 1..300), interval in 1u64..100, burst in 1u32..20,
        ) {
            let quota = Quota { interval: Duration::from_millis(interval), burst };
            let (mut gcra, mut now, mut taken) = (Gcra::default(), Duration::from_secs(1), Vec::new());
            for pause in pauses {
                now += Duration::from_millis(pause);
                if gcra.take(&quota, now).is_ok() {
                    taken.push(now);
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (count, to) in taken[first..].iter().enumerate() {
                    let allowed = u128::from(burst) + (*to - *from).as_nanos() / quota.interval.as_nanos();
                    prop_assert!((count as u128) < allowed);
                }
            }
        }

        #[test]
        fn whoever_waits_as_told_is_let_through(takes in 1u32..50, interval in 1u64..100, burst in 1u32..10) {
            let quota = Quota { interval: Duration::from_millis(interval), burst };
            let (mut gcra, mut now) = (Gcra::default(), Duration::ZERO);
            for _ in 0..takes {
                if let Err(wait) = gcra.take(&quota, now) {
                    now += wait;
                    prop_assert_eq!(gcra.take(&quota, now), Ok(()));
                }
            }
            prop_assert!(gcra.is_idle(now + quota.interval * (burst + 1)));
        }
    }

    #[test]
    fn a_rate_that_makes_no_sense_is_a_small_one() {
        for rate in [0.0, -1.0, f64::NAN] {
            assert_eq!(Quota::per_second(rate, 0), Quota { interval: Duration::from_secs(3600), burst: 1 });
        }
        assert_eq!(Quota::per_second(f64::INFINITY, 1).interval, Duration::from_nanos(1));
    }
}
