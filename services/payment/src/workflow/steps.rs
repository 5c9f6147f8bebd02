//! The workflows' steps: the activities. Each goes on with an open intent, and ends when it is settled. Taking one twice is harmless: what is
//! settled is asked no more, and the provider knows each question by its key.

use std::sync::Arc;

use ids::OrderId;
use rpc::{Failure, process::Fatal};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use temporalio_macros::activities;
use temporalio_sdk::{
    ApplicationFailure,
    activities::{ActivityContext, ActivityError},
};
use tracing::Instrument as _;
use url::Url;

use super::Kind;
use crate::{
    cashier::Cashier,
    domain::{Intent, Payment, Refusal, State},
    error::Error,
    metrics,
    psp::Psp,
};

/// Input of every workflow and of its steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// The order.
    pub order_id: String,
    /// The refund, as the provider knows it; empty for other intents.
    pub refund_key: String,
    /// Trace of the call that left it open.
    pub traceparent: Option<String>,
}

/// Where a payment stands after a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its state; `none` when nothing was ever asked for, because the call died before it was kept.
    pub state: String,
    /// Whether the amount is held and is to be taken.
    pub is_capture_wanted: bool,
}

impl Standing {
    fn of(payment: Option<&Payment>) -> Self {
        Self {
            state: payment.map_or("none", |payment| payment.state.as_str()).to_owned(),
            is_capture_wanted: payment.is_some_and(|payment| payment.is_open(&Intent::Capture)),
        }
    }
}

/// What the steps need. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Steps {
    cashier: Cashier,
}

/// The bank has not heard from the shopper.
#[derive(Debug, thiserror::Error)]
#[error("the payment is {}: its outcome is still open", .0.as_str())]
struct StillOpen(State);

fn again(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ActivityError {
    ActivityError::application(ApplicationFailure::new(error))
}

fn never(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ActivityError {
    ActivityError::application(ApplicationFailure::non_retryable(error))
}

impl Steps {
    /// Steps on the payments of `pool`, with the provider at `psp`. Their connections to it are not those of the calls.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub fn new(pool: PgPool, psp: Url, webhook_url: Url) -> Result<Self, Fatal> {
        Ok(Self { cashier: Cashier { pool, psp: Psp::new(psp, webhook_url)? } })
    }

    /// Goes on with `intent` until it is settled; an error means: not yet.
    async fn settle(&self, step: Step, intent: Intent) -> Result<Standing, ActivityError> {
        let id: OrderId = step.order_id.parse().map_err(|error: ids::InvalidId| never(error))?;
        let span = tracing::info_span!("payment.workflow.step", order.id = %id, ?intent);
        telemetry::continue_trace(&span, step.traceparent.as_deref());
        let payment = match self.cashier.resume(id, &intent).instrument(span).await {
            Ok(payment) if payment.is_open(&intent) => return Err(again(StillOpen(payment.state))),
            Ok(payment) => Some(payment),
            Err(Error::Refused(Refusal::Missing)) => None,
            // A void came too late, or another end was faster: that is how it ended.
            Err(Error::Refused(_)) => Some(self.cashier.read(id).await.map_err(|error| again(Failure::from(error)))?),
            Err(error) => return Err(again(Failure::from(error))),
        };
        let standing = Standing::of(payment.as_ref());
        if intent != Intent::Authorization || !standing.is_capture_wanted {
            metrics::count_finished(Kind::of(&intent));
        }
        Ok(standing)
    }
}

#[activities]
impl Steps {
    #[activity]
    pub async fn authorize(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<Standing, ActivityError> {
        self.settle(step, Intent::Authorization).await
    }

    #[activity]
    pub async fn capture(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<Standing, ActivityError> {
        self.settle(step, Intent::Capture).await
    }

    #[activity]
    pub async fn void(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<Standing, ActivityError> {
        self.settle(step, Intent::Void).await
    }

    #[activity]
    pub async fn refund(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<Standing, ActivityError> {
        let intent = Intent::Refund(step.refund_key.clone());
        self.settle(step, intent).await
    }
}
