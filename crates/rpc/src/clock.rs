//! The time that the state machines of calls are given.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

/// Time since this process first asked: it only goes forward.
pub(crate) fn now() -> Duration {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    BEGUN.elapsed()
}
