//! The return of a shipped order: the money goes back, then the order is returned. Past the pivot nothing is undone; this is a new saga, with
//! a workflow id of its own.
//!
//! The stock stays sold. Whether a parcel that comes back can be sold again is seen by whoever opens it and booked as new stock; to put it
//! back on the shelf here would sell goods that nobody has.

use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{WorkflowContext, WorkflowResult};

use super::{
    calls::{local, outside},
    steps::{SagaInput, Step, Steps},
};

/// The saga of one return.
#[workflow]
#[derive(Default)]
pub struct OrderReturn;

#[workflow_methods]
impl OrderReturn {
    /// Brings the order to `returned`, and says so.
    #[run]
    pub async fn run(ctx: &mut WorkflowContext<Self>, input: SagaInput) -> WorkflowResult<String> {
        let step = Step::of(input);
        outside!(ctx, Steps::refund, step);
        ctx.execute_local_activity(Steps::take_back, step, local()).await?;
        Ok("returned".to_owned())
    }
}
