//! The distribution of recent latencies, in a few hundred bytes.
//!
//! Log-linear buckets (eight to each doubling, so a quantile is at most an eighth too high) in two halves: the younger is filled, and both are read; when the
//! younger is as old as half the window, the older is dropped.

use std::time::Duration;

/// Buckets to each doubling.
const STEPS: usize = 8;
/// From a microsecond to more than an hour.
const BUCKETS: usize = STEPS * 33;

/// Recent latencies of one kind of call.
#[derive(Debug, Clone)]
pub struct Latencies {
    window: Duration,
    began: Duration,
    younger: Half,
    older: Half,
}

#[derive(Debug, Clone)]
struct Half {
    counts: Box<[u32; BUCKETS]>,
    total: u32,
}

impl Default for Half {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0 }
    }
}

impl Half {
    fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }
}

fn bucket(latency: Duration) -> usize {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
    let doubling = micros.ilog2();
    // The three bits below the highest: where it lies within its doubling.
    let step = if doubling >= 3 { (micros >> (doubling - 3)) & 7 } else { (micros << (3 - doubling)) & 7 };
    usize::try_from(u64::from(doubling) * STEPS as u64 + step).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The highest latency of a bucket.
fn top(bucket: usize) -> Duration {
    let (doubling, step) = (bucket / STEPS, bucket % STEPS);
    let eighths = (STEPS + step + 1) as u64;
    Duration::from_nanos(((eighths * 1000) << doubling) / STEPS as u64)
}

impl Latencies {
    /// None yet. What is older than `window` is forgotten, and nothing that is younger than half of it.
    #[must_use]
    pub fn new(now: Duration, window: Duration) -> Self {
        Self { window, began: now, younger: Half::default(), older: Half::default() }
    }

    fn turn(&mut self, now: Duration) {
        let age = now.saturating_sub(self.began);
        if age < self.window / 2 {
            return;
        }
        std::mem::swap(&mut self.younger, &mut self.older);
        self.younger.clear();
        if age >= self.window {
            self.older.clear();
        }
        self.began = now;
    }

    /// Notes one.
    pub fn note(&mut self, now: Duration, latency: Duration) {
        self.turn(now);
        let count = &mut self.younger.counts[bucket(latency)];
        *count = count.saturating_add(1);
        self.younger.total = self.younger.total.saturating_add(1);
    }

    /// The latency that the share `quantile` of calls does not exceed; nothing when fewer than `least` are known.
    pub fn quantile(&mut self, now: Duration, quantile: f64, least: u32) -> Option<Duration> {
        self.turn(now);
        let total = u64::from(self.younger.total) + u64::from(self.older.total);
        if total == 0 || total < u64::from(least) {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank among at most 2^33"
        )]
        let rank = ((total as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        for (index, (younger, older)) in self.younger.counts.iter().zip(self.older.counts.iter()).enumerate() {
            seen += u64::from(*younger) + u64::from(*older);
            if seen >= rank {
                return Some(top(index));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::from_secs(10);

    #[test]
    fn what_is_old_is_forgotten() {
        let mut latencies = Latencies::new(Duration::ZERO, WINDOW);
        latencies.note(Duration::ZERO, Duration::from_secs(1));
        assert!(latencies.quantile(WINDOW / 2, 0.5, 1).is_some(), "it is as old as half the window");
        assert_eq!(latencies.quantile(WINDOW, 0.5, 1), None);
        latencies.note(WINDOW, Duration::from_millis(1));
        assert_eq!(latencies.quantile(WINDOW * 3, 0.5, 1), None, "nobody called for long");
    }

    #[test]
    fn a_few_say_nothing() {
        let mut latencies = Latencies::new(Duration::ZERO, WINDOW);
        (0..9).for_each(|_| latencies.note(Duration::ZERO, Duration::from_millis(1)));
        assert_eq!(latencies.quantile(Duration::ZERO, 0.95, 10), None);
        latencies.note(Duration::ZERO, Duration::from_millis(1));
        assert!(latencies.quantile(Duration::ZERO, 0.95, 10).is_some());
    }

    proptest! {
        #[test]
        fn a_quantile_is_at_most_an_eighth_too_high(mut micros in prop::collection::vec(1u64..10_000_000, 1..300), quantile in 0.0f64..=1.0) {
            let mut latencies = Latencies::new(Duration::ZERO, WINDOW);
            micros.iter().for_each(|micros| latencies.note(Duration::ZERO, Duration::from_micros(*micros)));
            let found = latencies.quantile(Duration::ZERO, quantile, 1).unwrap();
            micros.sort_unstable();
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "few")]
            let rank = ((micros.len() as f64 * quantile).ceil() as usize).clamp(1, micros.len());
            let exact = Duration::from_micros(micros[rank - 1]);
            prop_assert!(found >= exact && found <= exact.mul_f64(1.125) + Duration::from_micros(1), "{found:?} for {exact:?}");
        }

        #[test]
        fn every_latency_has_a_bucket(nanos: u64) {
            let latency = Duration::from_nanos(nanos);
            prop_assert!(bucket(latency) < BUCKETS);
        }
    }
}
