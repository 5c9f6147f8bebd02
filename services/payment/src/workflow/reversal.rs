//! Follows a void that is wanted. A charge whose own outcome is not known is first found out about, so that nothing stays held behind it.
//!
//! A change here must replay the histories in `tests/histories`; one that adds, drops or moves a step goes behind `ctx.patched("<what>")`.

use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{WorkflowContext, WorkflowResult};

use super::{
    calls::patient,
    steps::{Step, Steps},
};

/// The void of one order's payment.
#[workflow]
#[derive(Default)]
pub struct PaymentReversal;

#[workflow_methods]
impl PaymentReversal {
    /// Voids the payment, or finds that it cannot be voided any more, and returns where it stands.
    #[run]
    pub async fn run(ctx: &mut WorkflowContext<Self>, input: Step) -> WorkflowResult<String> {
        let undone = ctx.execute_activity(Steps::void, input.clone(), patient(&input, "void")).await?;
        Ok(undone.state)
    }
}
