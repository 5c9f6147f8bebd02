//! The order saga: the workflow. It only decides; everything that touches the world is a step.
//!
//! A change here must replay the histories of workflows that run since before it. One that adds, drops or moves a step is a new [`VERSION`],
//! which a workflow is started with and keeps; only for those from before it was kept is `ctx.patched("<what>")` asked, since a patch costs every
//! workflow two more events and a write to the server's index. `tests/histories` holds this: a test replays each history there,
//! `before-the-pivot-step-*` and `version-0-*` among them, which were recorded by the program as it was then.

use std::time::Duration;

use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{SyncWorkflowContext, WorkflowContext, WorkflowResult, workflows::select};

use super::{
    calls::{local, outside},
    steps::{Authorization, Outcome, SagaInput, Step, Steps},
};

/// How often a waiting payment is looked at, in case its webhook or its signal is lost.
const RECHECK: Duration = Duration::from_secs(5);
/// How many looks a shopper has to answer the bank: two minutes.
const STEP_UP_CHECKS: u32 = 24;
/// How a saga goes that is started now. 0: patched, and confirmed and shipped in two steps. 1: with the pivot, and shipped in one.
pub(super) const VERSION: u32 = 1;
/// Of version 0: since this patch the order is taken past the pivot in its own row before its payment is captured.
const PIVOT: &str = "pivot";

/// The saga of one order.
#[workflow]
#[derive(Default)]
pub struct OrderSaga {
    /// Signals so far.
    news: u32,
}

#[workflow_methods]
impl OrderSaga {
    /// Brings the order to `shipped` or `cancelled` and returns which.
    #[run]
    pub async fn run(ctx: &mut WorkflowContext<Self>, input: SagaInput) -> WorkflowResult<String> {
        let version = input.version;
        let step = Step::of(input);
        if let Outcome::Refused(reason) = ctx.execute_local_activity(Steps::reserve, step.clone(), local()).await? {
            // A refused reservation holds nothing, but releasing it keeps a late repeat of the step from holding something.
            return Self::undo(ctx, step, reason, false).await;
        }
        match Self::authorize(ctx, &step).await? {
            Outcome::Done => {}
            Outcome::Refused(reason) => return Self::undo(ctx, step, reason, true).await,
        }
        // The shopper's cancel and this step meet at the order's row: one of them is refused.
        if (version > 0 || ctx.patched(PIVOT))
            && let Outcome::Refused(reason) = ctx.execute_local_activity(Steps::pivot, step.clone(), local()).await?
        {
            return Self::undo(ctx, step, reason, true).await;
        }
        // The pivot: from here on only forward.
        if let Outcome::Refused(reason) = outside!(ctx, Steps::capture, step) {
            return Self::undo(ctx, step, reason, true).await;
        }
        if version == 0 {
            ctx.execute_local_activity(Steps::confirm, step.clone(), local()).await?;
        }
        ctx.execute_local_activity(Steps::ship, step, local()).await?;
        Ok("shipped".to_owned())
    }

    /// The payment changed at the provider: look now rather than at the next recheck.
    #[signal]
    pub fn payment_changed(&mut self, _ctx: &mut SyncWorkflowContext<Self>) {
        self.news += 1;
    }

    /// The shopper cancelled: look now. The wish itself is in the order's row, where a lost signal loses nothing.
    #[signal]
    pub fn cancel_requested(&mut self, _ctx: &mut SyncWorkflowContext<Self>) {
        self.news += 1;
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
                        _ = ctx.wait_condition(|saga: &Self| saga.news > seen) => {},
                    }
                    seen = ctx.state(|saga| saga.news);
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
