//! The order saga: the workflow. It only decides; everything that touches the world is a step.
//!
//! Steps are local activities: they need no round trip through the server, so an order that goes well is one workflow task. A step that
//! reaches the payment provider is local only as long as the provider is quick; after that it is remote, so a slow provider never holds a
//! workflow task. ADR 0003 has the figures.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use temporalio_common::RetryPolicy;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{ActivityOptions, LocalActivityOptions, SyncWorkflowContext, WorkflowContext, WorkflowResult, workflows::select};

use super::steps::{Authorization, Outcome, Step, Steps};

// ---- input

/// What a saga is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SagaInput {
    /// The order; also the workflow's id.
    pub(crate) order_id: String,
    /// Trace of the request that placed it.
    pub(crate) traceparent: Option<String>,
}

// ---- definition

/// How often a waiting payment is looked at, in case its webhook or its signal is lost.
const RECHECK: Duration = Duration::from_secs(5);
/// How many looks a shopper has to answer the bank: two minutes.
const STEP_UP_CHECKS: u32 = 24;

/// The saga of one order.
#[workflow]
#[derive(Default)]
pub(crate) struct OrderSaga {
    payment_changes: u32,
}

/// A step that needs the payment provider: at once, or with all the time that the provider takes.
macro_rules! outside {
    ($ctx:expr, $step:expr, $input:expr) => {
        match $ctx.execute_local_activity($step, $input.clone(), quick()).await {
            Ok(output) => output,
            Err(_) => $ctx.execute_activity($step, $input.clone(), remote()).await?,
        }
    };
}

#[workflow_methods]
impl OrderSaga {
    /// Brings the order to `shipped` or `cancelled` and returns which.
    #[run]
    pub(crate) async fn run(ctx: &mut WorkflowContext<Self>, input: SagaInput) -> WorkflowResult<String> {
        let step = Step { order_id: input.order_id, traceparent: input.traceparent, reason: String::new() };
        if let Outcome::Refused(reason) = ctx.execute_local_activity(Steps::reserve, step.clone(), local()).await? {
            // A refused reservation holds nothing, but releasing it keeps a late repeat of the step from holding something.
            return Self::undo(ctx, step, reason, false).await;
        }
        match Self::authorize(ctx, &step).await? {
            Outcome::Done => {}
            Outcome::Refused(reason) => return Self::undo(ctx, step, reason, true).await,
        }
        // The pivot: from here on only forward.
        if let Outcome::Refused(reason) = outside!(ctx, Steps::capture, step) {
            return Self::undo(ctx, step, reason, true).await;
        }
        ctx.execute_local_activity(Steps::confirm, step.clone(), local()).await?;
        ctx.execute_local_activity(Steps::ship, step, local()).await?;
        Ok("shipped".to_owned())
    }

    /// The payment changed at the provider: look now rather than at the next recheck.
    #[signal]
    pub(crate) fn payment_changed(&mut self, _ctx: &mut SyncWorkflowContext<Self>) {
        self.payment_changes += 1;
    }
}

impl OrderSaga {
    /// Authorizes, and waits for the shopper's bank when it asks for a step-up.
    async fn authorize(ctx: &mut WorkflowContext<Self>, step: &Step) -> WorkflowResult<Outcome> {
        let mut seen = 0;
        for _ in 0..STEP_UP_CHECKS {
            match outside!(ctx, Steps::authorize, step) {
                Authorization::Authorized => return Ok(Outcome::Done),
                Authorization::Refused(reason) => return Ok(Outcome::Refused(reason)),
                Authorization::Waiting => {
                    select! {
                        _ = ctx.timer(RECHECK) => {},
                        _ = ctx.wait_condition(|saga: &Self| saga.payment_changes > seen) => {},
                    }
                    seen = ctx.state(|saga| saga.payment_changes);
                }
            }
        }
        Ok(Outcome::Refused("PAYMENT_STEP_UP_TIMEOUT".to_owned()))
    }

    /// The compensations, in reverse, then the order's end.
    async fn undo(ctx: &mut WorkflowContext<Self>, step: Step, reason: String, void: bool) -> WorkflowResult<String> {
        let step = Step { reason, ..step };
        if void {
            outside!(ctx, Steps::void, step);
        }
        ctx.execute_local_activity(Steps::release, step.clone(), local()).await?;
        ctx.execute_local_activity(Steps::cancel, step, local()).await?;
        Ok("cancelled".to_owned())
    }
}

/// Steps never give up: what they need comes back, and giving up half-way is the one thing a saga must not do.
fn retries() -> RetryPolicy {
    RetryPolicy::builder().initial_interval(Duration::from_millis(100)).maximum_interval(Duration::from_secs(5)).build()
}

fn local() -> LocalActivityOptions {
    LocalActivityOptions::builder().start_to_close_timeout(Duration::from_secs(6)).retry_policy(retries()).build()
}

/// One try of at most a second.
fn quick() -> LocalActivityOptions {
    let once = RetryPolicy::builder().maximum_attempts(1).build();
    LocalActivityOptions::builder().start_to_close_timeout(Duration::from_secs(1)).retry_policy(once).build()
}

fn remote() -> ActivityOptions {
    ActivityOptions::with_start_to_close_timeout(Duration::from_secs(6)).retry_policy(retries()).build()
}
