//! How workflows call their steps: remote, since each reaches the provider, and without an end. Waiting is left to the retries, which cost
//! the history nothing, however long it takes.

use std::time::Duration;

use temporalio_common::RetryPolicy;
use temporalio_sdk::ActivityOptions;

use super::Step;

/// Longest pause between two tries: so long after the provider is back everything is settled.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Longer than a step's questions to the provider take, of which each ends after 4 s.
const LONGEST_STEP: Duration = Duration::from_secs(15);

/// The step `name` of a workflow about `input`'s order; its id is the key that the provider knows it by.
pub(super) fn patient(input: &Step, name: &str) -> ActivityOptions {
    let retries = RetryPolicy::builder().initial_interval(Duration::from_millis(500)).maximum_interval(MAX_PAUSE).build();
    let id = if input.refund_key.is_empty() { format!("{}/{name}", input.order_id) } else { input.refund_key.clone() };
    ActivityOptions::with_start_to_close_timeout(LONGEST_STEP).activity_id(id).retry_policy(retries).build()
}
