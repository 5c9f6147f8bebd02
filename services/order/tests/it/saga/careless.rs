//! The order saga after a careless change: the payment is authorized before the stock is reserved.

#![expect(unreachable_pub, reason = "what the macros make is as visible as this, and a workflow's parts must be")]

use order::saga::SagaInput;
use temporalio_common::RetryPolicy;
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::{
    LocalActivityOptions, WorkflowContext, WorkflowResult,
    activities::{ActivityContext, ActivityError},
};

pub struct Steps;

#[activities]
impl Steps {
    #[activity]
    pub async fn reserve(_ctx: ActivityContext, _input: SagaInput) -> Result<(), ActivityError> {
        std::future::ready(Ok(())).await
    }

    #[activity]
    pub async fn authorize(_ctx: ActivityContext, _input: SagaInput) -> Result<(), ActivityError> {
        std::future::ready(Ok(())).await
    }
}

#[workflow]
#[derive(Default)]
pub struct OrderSaga;

#[workflow_methods]
impl OrderSaga {
    #[run]
    pub async fn run(ctx: &mut WorkflowContext<Self>, input: SagaInput) -> WorkflowResult<String> {
        let once = || LocalActivityOptions::builder().retry_policy(RetryPolicy::builder().maximum_attempts(1).build()).build();
        ctx.execute_local_activity(Steps::authorize, input.clone(), once()).await?;
        ctx.execute_local_activity(Steps::reserve, input, once()).await?;
        Ok("shipped".to_owned())
    }
}
