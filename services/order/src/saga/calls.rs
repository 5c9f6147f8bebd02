//! How workflows call their steps.
//!
//! Steps are local activities: they need no round trip through the server, so an order that goes well is one workflow task. A step that
//! reaches the payment provider is local only as long as the provider is quick; after that it is remote, so a slow provider never holds a
//! workflow task. ADR 0003 has the figures.

use std::time::Duration;

use temporalio_common::RetryPolicy;
use temporalio_sdk::{ActivityOptions, LocalActivityOptions};

/// A step that needs the payment provider: at once, or with all the time that the provider takes.
macro_rules! outside {
    ($ctx:expr, $step:expr, $input:expr) => {
        match $ctx.execute_local_activity($step, $input.clone(), $crate::saga::calls::quick()).await {
            Ok(output) => output,
            Err(_) => $ctx.execute_activity($step, $input.clone(), $crate::saga::calls::remote()).await?,
        }
    };
}
pub(super) use outside;

/// Steps never give up: what they need comes back, and giving up half-way is the one thing a saga must not do.
fn retries() -> RetryPolicy {
    RetryPolicy::builder().initial_interval(Duration::from_millis(100)).maximum_interval(Duration::from_secs(5)).build()
}

/// A step that has to wait long for its next try waits in Temporal: the worker's places are for sagas that can go on.
pub(super) fn local() -> LocalActivityOptions {
    let options = LocalActivityOptions::builder().start_to_close_timeout(Duration::from_secs(6)).retry_policy(retries());
    options.timer_backoff_threshold(Duration::from_millis(500)).build()
}

/// One try of at most a second.
pub(super) fn quick() -> LocalActivityOptions {
    let once = RetryPolicy::builder().maximum_attempts(1).build();
    LocalActivityOptions::builder().start_to_close_timeout(Duration::from_secs(1)).retry_policy(once).build()
}

pub(super) fn remote() -> ActivityOptions {
    ActivityOptions::with_start_to_close_timeout(Duration::from_secs(6)).retry_policy(retries()).build()
}
