//! Hedging: a read that takes longer than nearly all do is asked for a second time elsewhere, and the first answer counts.

use std::time::Duration;

use crate::Latencies;

/// When a read is asked for again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hedging {
    /// After the latency that this share of reads does not exceed.
    pub quantile: f64,
    /// At most this share of reads is asked for twice.
    pub share: f64,
    /// Reads that must be known before any is.
    pub least: u32,
}

impl Default for Hedging {
    fn default() -> Self {
        Self { quantile: 0.95, share: 0.1, least: 50 }
    }
}

/// Hedges that may be made at once when there were none for long.
const BURST: f64 = 10.0;
/// Short, so that what calls took in a bad moment is soon forgotten.
const WINDOW: Duration = Duration::from_secs(5);

/// The hedges of one method.
#[derive(Debug, Clone)]
pub struct Hedger {
    latencies: Latencies,
    allowed: f64,
}

impl Hedger {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(now: Duration) -> Self {
        Self { latencies: Latencies::new(now, WINDOW), allowed: 0.0 }
    }

    /// A read begins: after how long it is to be asked for again, if ever.
    pub fn begin(&mut self, hedging: &Hedging, now: Duration) -> Option<Duration> {
        self.allowed = (self.allowed + hedging.share).min(BURST);
        self.latencies.quantile(now, hedging.quantile, hedging.least)
    }

    /// That time has passed: whether it may be asked for again. If so it counts.
    pub fn hedge(&mut self) -> bool {
        let may = self.allowed >= 1.0;
        if may {
            self.allowed -= 1.0;
        }
        may
    }

    /// A try was answered after so long. The loser of a hedge was not.
    pub fn end(&mut self, now: Duration, took: Duration) {
        self.latencies.note(now, took);
    }

    /// Half of recent reads took no longer; nothing when fewer than `least` are known.
    pub fn usual(&mut self, now: Duration, least: u32) -> Option<Duration> {
        self.latencies.quantile(now, 0.5, least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However slow all become at once, the load grows by no more than the share.
        #[test]
        fn hedges_are_a_share_of_reads(reads in 1usize..3000, share in 0.0f64..0.5) {
            let hedging = Hedging { share, least: 1, ..Hedging::default() };
            let mut hedger = Hedger::new(Duration::ZERO);
            let mut hedges = 0.0;
            for read in 1..=reads {
                hedger.begin(&hedging, Duration::ZERO);
                hedges += f64::from(u8::from(hedger.hedge()));
                #[expect(clippy::cast_precision_loss, reason = "few")]
                let most = share * read as f64 + 1e-6;
                prop_assert!(hedges <= most);
            }
        }
    }

    #[test]
    fn only_what_is_unusually_slow_is_asked_for_again() {
        let (hedging, ms) = (Hedging::default(), Duration::from_millis);
        let mut hedger = Hedger::new(Duration::ZERO);
        assert_eq!(hedger.begin(&hedging, ms(1)), None);
        for read in 0..100 {
            hedger.begin(&hedging, ms(1));
            hedger.end(ms(1), if read % 25 == 0 { ms(500) } else { ms(4) });
        }
        let after = hedger.begin(&hedging, ms(1)).unwrap();
        assert!((ms(4)..ms(6)).contains(&after), "{after:?}");
        assert!((ms(4)..ms(6)).contains(&hedger.usual(ms(1), 50).unwrap()));
    }
}
