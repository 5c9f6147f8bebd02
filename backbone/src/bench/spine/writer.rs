//! Commits events at a steady pace, whatever becomes of them: open loop.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;

use super::outbox::Outbox;

/// Connections that take turns.
const WRITERS: u32 = 8;

/// When an event was to be written, when it was begun, and when its COMMIT had returned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) intended: Instant,
    pub(super) started: Instant,
    pub(super) committed: Instant,
}

/// Writes `events` at `pace` a second, each in a transaction of its own.
pub(super) async fn write(outbox: &Outbox, run: u32, pace: u32, events: u32) -> Result<Vec<Written>> {
    let begin = Instant::now() + Duration::from_millis(50);
    let writer = |first: u32| async move {
        let mut written = Vec::new();
        for number in (first..events).step_by(WRITERS as usize) {
            let intended = begin + Duration::from_secs(1) * number / pace;
            tokio::time::sleep_until(intended.into()).await;
            let started = Instant::now();
            outbox.append(run, number).await?;
            written.push(Written { intended, started, committed: Instant::now() });
        }
        Result::<_>::Ok(written)
    };
    let mut written = try_join_all((0..WRITERS).map(writer)).await?.concat();
    written.sort_unstable_by_key(|written| written.intended);
    Ok(written)
}
