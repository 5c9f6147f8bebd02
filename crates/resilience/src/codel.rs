//! Controlled delay: what waits in a queue is let go when the queue has stood for too long (`CoDel`, RFC 8289).
//!
//! A queue that is emptied now and then is a good one, however long it gets for a moment. Only when every wait has been longer than `target` for a whole
//! `interval` is something dropped, and then more and more often until waits are short again.

use std::time::Duration;

/// What waits are bearable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Queueing {
    /// A standing wait of this length is too long.
    pub target: Duration,
    /// How long it must stand.
    pub interval: Duration,
}

impl Default for Queueing {
    fn default() -> Self {
        Self { target: Duration::from_millis(20), interval: Duration::from_millis(200) }
    }
}

/// The state of one queue.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Codel {
    /// When waits will have been too long for an interval.
    above_until: Option<Duration>,
    dropping: Option<Dropping>,
    /// Drops of the last time, when that was not long ago.
    last: Option<Dropping>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Dropping {
    count: u32,
    next: Duration,
}

impl Codel {
    /// Whatever has waited for `waited` leaves the queue now: whether it is to be dropped.
    pub fn drops(&mut self, queueing: &Queueing, now: Duration, waited: Duration) -> bool {
        if waited < queueing.target {
            self.above_until = None;
            self.last = self.dropping.take().or(self.last);
            return false;
        }
        let until = *self.above_until.get_or_insert(now + queueing.interval);
        match &mut self.dropping {
            None if now < until => false,
            None => {
                // Soon again: it goes on from about where it was.
                let count = match self.last {
                    Some(last) if now.saturating_sub(last.next) < queueing.interval * 8 && last.count > 2 => last.count - 2,
                    _ => 1,
                };
                self.dropping = Some(Dropping { count, next: now + spacing(queueing, count) });
                true
            }
            Some(dropping) if now < dropping.next => false,
            Some(dropping) => {
                dropping.count = dropping.count.saturating_add(1);
                dropping.next += spacing(queueing, dropping.count);
                true
            }
        }
    }
}

/// The time between drops shrinks with the root of their number, which makes the rate of what is let in fall evenly.
fn spacing(queueing: &Queueing, count: u32) -> Duration {
    queueing.interval.div_f64(f64::from(count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_burst_is_left_alone() {
        let (queueing, mut codel) = (Queueing::default(), Codel::default());
        for wait in (1..100).rev() {
            assert!(!codel.drops(&queueing, MS * (100 - wait), MS * wait), "it is over before an interval is");
        }
    }

    #[test]
    fn a_standing_queue_loses_more_and_more() {
        let (queueing, mut codel) = (Queueing::default(), Codel::default());
        let mut in_span = |from: u32, to: u32| (from..to).filter(|at| codel.drops(&queueing, MS * *at, MS * 100)).count();
        assert_eq!(in_span(0, 200), 0);
        let (first, second) = (in_span(200, 1200), in_span(1200, 2200));
        assert!(first >= 5 && second > first, "{first} {second}");
    }

    proptest! {
        #[test]
        fn whoever_waited_little_is_never_dropped(steps in prop::collection::vec((0u32..50, 0u32..100), 1..500)) {
            let (queueing, mut codel, mut now) = (Queueing::default(), Codel::default(), Duration::ZERO);
            for (pause, waited) in steps {
                now += MS * pause;
                let dropped = codel.drops(&queueing, now, MS * waited);
                prop_assert!(!dropped || MS * waited >= queueing.target);
            }
        }
    }
}
