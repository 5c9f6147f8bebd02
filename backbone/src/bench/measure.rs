//! Figures: percentiles, medians, and the CPU time of processes.

use std::{collections::BTreeMap, time::Duration};

/// The value below which `share` (0 to 1) of `sorted` lie, by nearest rank. `None` of nothing.
pub(super) fn percentile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a list in memory")]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The middle one; of an even number, the mean of the two.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

/// Times of single operations.
#[derive(Debug, Default)]
pub(super) struct Latencies(Vec<Duration>);

impl Latencies {
    /// Milliseconds at `share` (0 to 1).
    pub(super) fn ms(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        percentile(&self.0, share).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Extend<Duration> for Latencies {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, times: I) {
        self.0.extend(times);
    }
}

/// CPU seconds (user and system, with children that have ended) that each process has used, by name; a name's processes are added up.
#[derive(Debug, Clone, Default)]
pub(super) struct Cpu(BTreeMap<String, f64>);

impl Cpu {
    /// What these have used so far. Those that have ended are left out.
    pub(super) fn of(processes: &[(String, u32)]) -> Self {
        let mut used: BTreeMap<String, f64> = BTreeMap::new();
        for (name, pid) in processes {
            if let Some(seconds) = crate::process::cpu_seconds(*pid) {
                *used.entry(name.clone()).or_default() += seconds;
            }
        }
        Self(used)
    }

    /// What was used since `before`, the greatest first.
    pub(super) fn since(&self, before: &Self) -> Vec<(String, f64)> {
        let used = self.0.iter().map(|(name, now)| (name.clone(), now - before.0.get(name).copied().unwrap_or_default()));
        let mut used: Vec<_> = used.collect();
        used.sort_by(|a, b| b.1.total_cmp(&a.1));
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let values: Vec<u32> = (1..=100).collect();
        assert_eq!(percentile(&values, 0.5), Some(50));
        assert_eq!(percentile(&values, 0.99), Some(99));
        assert_eq!(percentile(&values, 1.0), Some(100));
        assert_eq!(percentile(&[7], 0.5), Some(7));
        assert_eq!(percentile::<u32>(&[], 0.5), None);
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn this_process_uses_the_cpu() {
        let me = [("me".to_owned(), std::process::id())];
        let before = Cpu::of(&me);
        let end = std::time::Instant::now() + Duration::from_millis(50);
        while std::time::Instant::now() < end {}
        let used = Cpu::of(&me).since(&before);
        assert_eq!(used.len(), 1);
        assert!(used[0].1 > 0.0, "{used:?}");
    }
}
