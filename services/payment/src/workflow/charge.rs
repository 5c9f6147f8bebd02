//! Follows an authorization whose outcome is not known, a step-up that waits, or a capture that is wanted.
//!
//! A change here must replay the histories in `tests/histories`; one that adds, drops or moves a step goes behind `ctx.patched("<what>")`.

use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{WorkflowContext, WorkflowResult};

use super::{
    calls::patient,
    steps::{Step, Steps},
};

/// The charge of one order. It may run again: an authorization is followed in one run, its capture in a later one.
#[workflow]
#[derive(Default)]
pub struct PaymentCharge;

#[workflow_methods]
impl PaymentCharge {
    /// Settles the authorization, then the capture if it is wanted by then, and returns where the payment stands.
    #[run]
    pub async fn run(ctx: &mut WorkflowContext<Self>, input: Step) -> WorkflowResult<String> {
        let held = ctx.execute_activity(Steps::authorize, input.clone(), patient(&input, "authorize")).await?;
        if !held.is_capture_wanted {
            return Ok(held.state);
        }
        let taken = ctx.execute_activity(Steps::capture, input.clone(), patient(&input, "capture")).await?;
        Ok(taken.state)
    }
}
