//! The order saga after a careless change: the payment is authorized before the stock is reserved. All else is as it was.

#![expect(unreachable_pub, reason = "what the macros make is as visible as this, and a workflow's parts must be")]

use order::saga::SagaInput;
use serde_json::Value;
use temporalio_common::RetryPolicy;
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::{
    LocalActivityOptions, WorkflowContext, WorkflowResult,
    activities::{ActivityContext, ActivityError},
};

pub struct Steps;

macro_rules! steps {
    ($($name:ident),*) => {
        #[activities]
        impl Steps {
            $(#[activity]
            pub async fn $name(_ctx: ActivityContext, _input: SagaInput) -> Result<Value, ActivityError> {
                std::future::ready(Ok(Value::Null)).await
            })*
        }
    };
}
steps!(reserve, authorize, pivot, capture, ship);

#[workflow]
#[derive(Default)]
pub struct OrderSaga;

#[workflow_methods]
impl OrderSaga {
    #[run]
    pub async fn run(ctx: &mut WorkflowContext<Self>, input: SagaInput) -> WorkflowResult<String> {
        let once = || LocalActivityOptions::builder().retry_policy(RetryPolicy::builder().maximum_attempts(1).build()).build();
        ctx.execute_local_activity(Steps::authorize, input.clone(), once()).await?;
        ctx.execute_local_activity(Steps::reserve, input.clone(), once()).await?;
        ctx.execute_local_activity(Steps::pivot, input.clone(), once()).await?;
        ctx.execute_local_activity(Steps::capture, input.clone(), once()).await?;
        ctx.execute_local_activity(Steps::ship, input, once()).await?;
        Ok("shipped".to_owned())
    }
}
