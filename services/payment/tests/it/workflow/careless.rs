//! The charge after a careless change: the capture comes first. All else is as it was.

#![expect(unreachable_pub, reason = "what the macros make is as visible as this, and a workflow's parts must be")]

use std::time::Duration;

use payment::workflow::{Standing, Step};
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::{
    ActivityOptions, WorkflowContext, WorkflowResult,
    activities::{ActivityContext, ActivityError},
};

pub struct Steps;

macro_rules! steps {
    ($($name:ident),*) => {
        #[activities]
        impl Steps {
            $(#[activity]
            pub async fn $name(_ctx: ActivityContext, _input: Step) -> Result<Standing, ActivityError> {
                std::future::ready(Ok(Standing { state: "captured".to_owned(), is_capture_wanted: false })).await
            })*
        }
    };
}
steps!(authorize, capture);

#[workflow]
#[derive(Default)]
pub struct PaymentCharge;

#[workflow_methods]
impl PaymentCharge {
    #[run]
    pub async fn run(ctx: &mut WorkflowContext<Self>, input: Step) -> WorkflowResult<String> {
        let options = || ActivityOptions::start_to_close_timeout(Duration::from_secs(1));
        ctx.execute_activity(Steps::capture, input.clone(), options()).await?;
        Ok(ctx.execute_activity(Steps::authorize, input, options()).await?.state)
    }
}
