//! Follows one refund that was kept, and has no answer.
//!
//! A change here must replay the histories in `tests/histories`; one that adds, drops or moves a step goes behind `ctx.patched("<what>")`.

use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{WorkflowContext, WorkflowResult};

use super::{
    calls::patient,
    steps::{Step, Steps},
};

/// One refund, by its key.
#[workflow]
#[derive(Default)]
pub struct PaymentRefund;

#[workflow_methods]
impl PaymentRefund {
    /// Makes the refund, or finds that it can never be made, and returns where the payment stands.
    #[run]
    pub async fn run(ctx: &mut WorkflowContext<Self>, input: Step) -> WorkflowResult<String> {
        let given_back = ctx.execute_activity(Steps::refund, input.clone(), patient(&input, "refund")).await?;
        Ok(given_back.state)
    }
}
