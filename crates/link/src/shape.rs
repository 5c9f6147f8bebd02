//! What one direction is like, and what can be changed of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::quantity::{Bandwidth, Loss};

/// The longest latency and the longest jitter.
pub const MAX_LATENCY: Duration = Duration::from_secs(60);

/// One direction.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Microseconds from one end to the other, at least.
    pub latency_us: u64,
    /// Up to so many microseconds come on top, drawn anew for each piece. Order is kept, so a late piece holds up those behind it.
    pub jitter_us: u64,
    /// Packets that have to be sent again. TCP notices after a while, and what is behind them waits.
    pub loss: Loss,
    /// What fits through, for all connections together.
    pub bandwidth: Bandwidth,
    /// Nothing comes out.
    pub partitioned: bool,
}

/// What to change; what is absent stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// See [`Shape::latency_us`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<u64>,
    /// See [`Shape::jitter_us`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_us: Option<u64>,
    /// See [`Shape::loss`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// See [`Shape::bandwidth`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    /// See [`Shape::partitioned`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitioned: Option<bool>,
}

/// A time that is too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is 60 s at most")]
pub struct OutOfRange(pub &'static str);

impl Shape {
    /// Nothing but this latency.
    #[must_use]
    pub fn of_latency(latency: Duration) -> Self {
        Self { latency_us: micros(latency), ..Self::default() }
    }

    /// From one end to the other, at least.
    #[must_use]
    pub const fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_us)
    }

    /// On top of it, at most.
    #[must_use]
    pub const fn jitter(&self) -> Duration {
        Duration::from_micros(self.jitter_us)
    }

    /// This one, changed.
    #[must_use]
    pub fn with(self, change: &Change) -> Self {
        Self {
            latency_us: change.latency_us.unwrap_or(self.latency_us),
            jitter_us: change.jitter_us.unwrap_or(self.jitter_us),
            loss: change.loss.unwrap_or(self.loss),
            bandwidth: change.bandwidth.unwrap_or(self.bandwidth),
            partitioned: change.partitioned.unwrap_or(self.partitioned),
        }
    }
}

impl Change {
    /// Refuses times that are too long.
    ///
    /// # Errors
    /// Which one.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let most = micros(MAX_LATENCY);
        match self {
            Self { latency_us: Some(time), .. } if *time > most => Err(OutOfRange("a latency")),
            Self { jitter_us: Some(time), .. } if *time > most => Err(OutOfRange("a jitter")),
            _ => Ok(()),
        }
    }

    /// True when it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// This one, and where `later` says something, that.
    #[must_use]
    pub fn then(self, later: &Self) -> Self {
        Self {
            latency_us: later.latency_us.or(self.latency_us),
            jitter_us: later.jitter_us.or(self.jitter_us),
            loss: later.loss.or(self.loss),
            bandwidth: later.bandwidth.or(self.bandwidth),
            partitioned: later.partitioned.or(self.partitioned),
        }
    }

    /// This one without what `other` speaks of.
    #[must_use]
    pub fn except(self, other: &Self) -> Self {
        Self {
            latency_us: self.latency_us.filter(|_| other.latency_us.is_none()),
            jitter_us: self.jitter_us.filter(|_| other.jitter_us.is_none()),
            loss: self.loss.filter(|_| other.loss.is_none()),
            bandwidth: self.bandwidth.filter(|_| other.bandwidth.is_none()),
            partitioned: self.partitioned.filter(|_| other.partitioned.is_none()),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
