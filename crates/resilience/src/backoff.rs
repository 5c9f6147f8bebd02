//! How long to wait before the next try: exponential, with full jitter.

use std::time::Duration;

/// Pauses between tries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The longest that the first pause can be.
    pub initial: Duration,
    /// The longest that any can be.
    pub max: Duration,
    /// By how much the longest grows from one pause to the next; at least 1.
    pub multiplier: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: Duration::from_millis(50), max: Duration::from_secs(2), multiplier: 2.0 }
    }
}

impl Backoff {
    /// The pause after `tries` that failed, of which there is at least one. `dice` is in `[0, 1)`: callers that failed together come back apart.
    #[must_use]
    pub fn pause(&self, tries: u32, dice: f64) -> Duration {
        self.longest(tries).mul_f64(dice.clamp(0.0, 1.0))
    }

    fn longest(&self, tries: u32) -> Duration {
        let growth = self.multiplier.max(1.0).powi(i32::try_from(tries.saturating_sub(1)).unwrap_or(i32::MAX));
        let seconds = self.initial.as_secs_f64() * growth;
        if seconds < self.max.as_secs_f64() { Duration::from_secs_f64(seconds) } else { self.max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pauses_stay_within_what_grows_up_to_the_most(tries in 1u32..10_000, dice in 0.0f64..1.0, initial in 1u64..1000, max in 1u64..5000) {
            let backoff = Backoff { initial: Duration::from_millis(initial), max: Duration::from_millis(max), multiplier: 1.6 };
            let pause = backoff.pause(tries, dice);
            prop_assert!(pause <= backoff.max);
            prop_assert!(pause <= backoff.longest(tries) && backoff.longest(tries) <= backoff.longest(tries + 1));
        }
    }

    #[test]
    fn jitter_is_full() {
        let backoff = Backoff::default();
        assert_eq!(backoff.pause(1, 0.0), Duration::ZERO);
        assert_eq!(backoff.pause(3, 0.5), Duration::from_millis(100));
        assert_eq!(backoff.pause(u32::MAX, 0.5), Duration::from_secs(1));
    }
}
