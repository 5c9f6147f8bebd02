//! Peak EWMA: a latency that is believed at once when it grows and only slowly when it falls (Finagle's `PeakEwma`).

use std::time::Duration;

/// The smoothed latency of one endpoint, and what is under way there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeakEwma {
    /// Seconds.
    cost: f64,
    noted_at: Duration,
    pending: u32,
}

/// Half-life and a bit: after so long an old latency weighs 1/e.
const DECAY: Duration = Duration::from_secs(5);
/// Costs below this are all the same, seconds: an endpoint that was never called must not draw every call.
const LEAST: f64 = 0.000_05;

impl PeakEwma {
    /// An endpoint that nothing is known of, with the latency that is to be expected.
    #[must_use]
    pub fn new(now: Duration, expected: Duration) -> Self {
        Self { cost: expected.as_secs_f64(), noted_at: now, pending: 0 }
    }

    /// A call begins.
    pub fn begin(&mut self) {
        self.pending = self.pending.saturating_add(1);
    }

    /// A call that took so long has ended.
    pub fn end(&mut self, now: Duration, took: Duration) {
        self.pending = self.pending.saturating_sub(1);
        let took = took.as_secs_f64();
        self.cost = if took > self.cost { took } else { took + (self.cost - took) * self.fading(now) };
        self.noted_at = self.noted_at.max(now);
    }

    /// A call that says nothing of the latency has ended: it was cancelled.
    pub fn abandon(&mut self) {
        self.pending = self.pending.saturating_sub(1);
    }

    /// How much one more call would cost: the latency, times all that would be under way. While nothing is noted the latency fades, so one that was slow is
    /// tried again.
    #[must_use]
    pub fn load(&self, now: Duration) -> f64 {
        let cost = (self.cost * self.fading(now)).max(LEAST);
        cost * f64::from(self.pending.saturating_add(1))
    }

    /// Calls under way.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.pending
    }

    fn fading(&self, now: Duration) -> f64 {
        (-now.saturating_sub(self.noted_at).as_secs_f64() / DECAY.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_peak_is_believed_at_once_and_forgotten_slowly() {
        let mut ewma = PeakEwma::new(Duration::ZERO, MS);
        ewma.begin();
        ewma.end(MS * 10, MS * 100);
        assert!((ewma.load(MS * 10) - 0.1).abs() < 1e-9);
        ewma.begin();
        ewma.end(MS * 20, MS);
        assert!(ewma.load(MS * 20) > 0.09, "one quick answer says little");
        assert!(ewma.load(Duration::from_secs(30)) < 0.001, "after a while it deserves a try");
    }

    #[test]
    fn what_is_under_way_counts() {
        let mut ewma = PeakEwma::new(Duration::ZERO, MS);
        let idle = ewma.load(MS);
        (0..3).for_each(|_| ewma.begin());
        assert!((ewma.load(MS) - 4.0 * idle).abs() < 1e-9);
        (0..3).for_each(|_| ewma.abandon());
        assert_eq!((ewma.pending(), ewma.load(MS)), (0, idle));
    }

    proptest! {
        #[test]
        fn the_latency_lies_between_what_was_seen(tooks in prop::collection::vec(1u32..10_000, 1..100), step in 1u32..500) {
            let mut ewma = PeakEwma::new(Duration::ZERO, MS * tooks[0]);
            let mut now = Duration::ZERO;
            for took in &tooks {
                now += MS * step;
                ewma.begin();
                ewma.end(now, MS * *took);
            }
            let most = f64::from(*tooks.iter().max().unwrap()) / 1000.0;
            let last = f64::from(*tooks.last().unwrap()) / 1000.0;
            prop_assert!(ewma.load(now) <= most + 1e-9 && ewma.load(now) >= last.max(LEAST) - 1e-9);
        }
    }
}
