//! One direction's line. Pure: the time (since some beginning) and the dice (0 to 1) are inputs.

use std::time::Duration;

use crate::shape::Shape;

/// What a packet carries on a usual path: 1500 bytes without the heads of IP and TCP.
pub(crate) const PACKET: usize = 1_448;
/// The shortest time after which TCP sends a packet again, as Linux has it.
const LEAST_TIMEOUT: Duration = Duration::from_millis(200);
/// Each further attempt waits twice as long, up to this.
const MOST_TIMEOUT: Duration = Duration::from_secs(10);
/// What is lost so often in a row gets through at last.
const MOST_ATTEMPTS: u32 = 8;

/// The line that all connections of a direction share.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    shape: Shape,
    /// Until then the line is busy with what was handed over before.
    busy_until: Duration,
    /// Which wire this is, and which shape of it: no other wire of the layer ever has this number.
    version: u64,
}

impl Wire {
    pub(crate) fn new(shape: Shape, version: u64) -> Self {
        Self { shape, busy_until: Duration::ZERO, version }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// From `now` on it is of this shape. What was waiting for the line is handed over anew by those who hold it.
    pub(crate) fn reshape(&mut self, now: Duration, shape: Shape, version: u64) {
        if self.shape != shape {
            *self = Self { shape, busy_until: now, version };
        }
    }

    /// When the last of `bytes` handed over at `now` is at the other end, if nothing happens to it.
    pub(crate) fn carry(&mut self, now: Duration, bytes: usize) -> Duration {
        let left = match self.shape.bandwidth.bytes() {
            None => now,
            Some(a_second) => {
                let nanos = u128::try_from(bytes).unwrap_or(u128::MAX) * 1_000_000_000 / u128::from(a_second);
                let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
                self.busy_until = self.busy_until.max(now) + takes;
                self.busy_until
            }
        };
        left + self.shape.latency()
    }

    /// By how much one piece is later than others.
    pub(crate) fn jitter(&self, dice: &mut impl FnMut() -> f64) -> Duration {
        if self.shape.jitter_us == 0 { Duration::ZERO } else { self.shape.jitter().mul_f64(dice().clamp(0.0, 1.0)) }
    }

    /// How long TCP takes to get one packet through after it was lost, or nothing.
    pub(crate) fn stall(&self, dice: &mut impl FnMut() -> f64) -> Duration {
        let loss = self.shape.loss.part();
        if loss <= 0.0 {
            return Duration::ZERO;
        }
        let first = LEAST_TIMEOUT + 2 * self.shape.latency();
        let lost = (0..MOST_ATTEMPTS).take_while(|_| dice() < loss);
        lost.map(|attempt| first.saturating_mul(1 << attempt).min(MOST_TIMEOUT.max(first))).sum()
    }

    /// How much one connection may have under way: what the line carries in a second and on its length, within `least` and `most`.
    pub(crate) fn window(&self, least: usize, most: usize) -> usize {
        let Some(a_second) = self.shape.bandwidth.bytes() else { return most };
        let millis = u64::try_from(self.shape.latency().as_millis()).unwrap_or(u64::MAX);
        let bytes = a_second.saturating_add(a_second.saturating_mul(millis) / 1_000);
        usize::try_from(bytes).unwrap_or(most).clamp(least, most)
    }
}
