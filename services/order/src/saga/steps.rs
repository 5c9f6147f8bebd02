//! The saga's steps: the activities. Each is idempotent by `<order>/<step>`; a refusal of the domain is a value, anything else is tried again.

use std::sync::Arc;

use ids::OrderId;
use proto::{
    inventory::v1::{ReleaseRequest, ReserveRequest, inventory_service_client::InventoryServiceClient},
    market::v1::Line,
    payment::v1::{
        AuthorizeRequest, CaptureRequest, GetPaymentRequest, Payment, PaymentState, VoidRequest,
        payment_service_client::PaymentServiceClient,
    },
};
use rpc::{Failure, Kind};
use serde::{Deserialize, Serialize};
use spine::Wake;
use sqlx::PgPool;
use temporalio_macros::activities;
use temporalio_sdk::{
    ApplicationFailure,
    activities::{ActivityContext, ActivityError},
};
use tonic::Status;
use tracing::{Instrument as _, Span};

use crate::{
    domain::{Command, Order},
    store,
};

/// Input of every step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Step {
    /// The order.
    pub(crate) order_id: String,
    /// Trace of the request that placed it.
    pub(crate) traceparent: Option<String>,
    /// Why it is undone; empty on the way forward.
    pub(crate) reason: String,
}

impl Step {
    fn span(&self, name: &'static str) -> Span {
        let span = tracing::info_span!("order.saga.step", otel.name = format!("order.saga.{name}"), order.id = self.order_id);
        telemetry::continue_trace(&span, self.traceparent.as_deref());
        span
    }

    fn id(&self) -> Result<OrderId, ActivityError> {
        self.order_id.parse().map_err(|error: ids::InvalidId| ActivityError::application(ApplicationFailure::non_retryable(error)))
    }
}

/// What a step answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Done, now or before.
    Done,
    /// The domain says no, for this reason.
    Refused(String),
}

/// What authorizing answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Authorization {
    /// The amount is held.
    Authorized,
    /// The bank asks the shopper.
    Waiting,
    /// No, for this reason.
    Refused(String),
}

/// What the steps need.
pub(crate) struct Steps {
    pub(crate) pool: PgPool,
    pub(crate) wake: Wake,
    pub(crate) inventory: InventoryServiceClient<rpc::Client>,
    pub(crate) payment: PaymentServiceClient<rpc::Client>,
}

fn again(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ActivityError {
    ActivityError::application(ApplicationFailure::new(error))
}

/// A refusal by the domain is a value; everything else is tried again.
fn refusal(status: Status) -> Result<String, ActivityError> {
    let failure = Failure::from(status);
    match failure.kind {
        Kind::Refused | Kind::NotFound | Kind::Conflict | Kind::Invalid => Ok(failure.reason),
        _ => Err(again(failure)),
    }
}

fn judge(payment: &Payment) -> Authorization {
    match payment.state() {
        PaymentState::Authorized | PaymentState::Captured => Authorization::Authorized,
        PaymentState::RequiresAction | PaymentState::Pending | PaymentState::Unspecified => Authorization::Waiting,
        PaymentState::Declined => Authorization::Refused("PAYMENT_DECLINED".to_owned()),
        PaymentState::Voided | PaymentState::Refunded => Authorization::Refused("PAYMENT_VOIDED".to_owned()),
    }
}

impl Steps {
    async fn order(&self, id: OrderId) -> Result<Order, ActivityError> {
        store::get(&self.pool, id).await.map(|stored| stored.order).map_err(again)
    }

    async fn apply(&self, id: OrderId, command: Command) -> Result<(), ActivityError> {
        if store::apply(&self.pool, id, command).await.map_err(again)? {
            self.wake.wake();
        }
        Ok(())
    }

    async fn reserve_stock(&self, id: OrderId) -> Result<Outcome, ActivityError> {
        let order = self.order(id).await?;
        let lines = order.lines.iter().map(|line| Line { sku: line.sku.to_string(), quantity: line.quantity }).collect();
        let request = ReserveRequest { order_id: id.to_string(), lines, idempotency_key: id.step_key("reserve") };
        match self.inventory.clone().reserve(request).await {
            Ok(_) => Ok(Outcome::Done),
            Err(status) => refusal(status).map(Outcome::Refused),
        }
    }

    /// A repeat answers how the payment stands by now. While the bank waits for the shopper, the provider itself is asked (`GetPayment`).
    async fn authorize_payment(&self, id: OrderId) -> Result<Authorization, ActivityError> {
        let order = self.order(id).await?;
        let request = AuthorizeRequest {
            order_id: id.to_string(),
            amount: Some(order.total.into()),
            payment_token: order.payment_token,
            idempotency_key: id.step_key("authorize"),
        };
        let payment = match self.payment.clone().authorize(request).await {
            Ok(response) => response.into_inner().payment,
            Err(status) => return refusal(status).map(Authorization::Refused),
        };
        let mut authorization = payment.as_ref().map(judge).ok_or_else(|| again("payment answered without a payment"))?;
        if authorization == Authorization::Waiting {
            let asked = self.payment.clone().get_payment(GetPaymentRequest { order_id: id.to_string() }).await;
            let asked = asked.map_err(|status| again(Failure::from(status)))?.into_inner().payment;
            authorization = asked.as_ref().map_or(authorization, judge);
        }
        Ok(authorization)
    }

    async fn capture_payment(&self, id: OrderId) -> Result<Outcome, ActivityError> {
        let request = CaptureRequest { order_id: id.to_string(), idempotency_key: id.step_key("capture") };
        match self.payment.clone().capture(request).await {
            Ok(_) => Ok(Outcome::Done),
            Err(status) => refusal(status).map(Outcome::Refused),
        }
    }

    async fn void_payment(&self, id: OrderId) -> Result<(), ActivityError> {
        let request = VoidRequest { order_id: id.to_string(), idempotency_key: id.step_key("void") };
        // A declined payment has nothing to void; a captured one must not be reached here, so it is tried again and seen in the log.
        self.payment.clone().void(request).await.map(drop).map_err(|status| again(Failure::from(status)))
    }

    async fn release_stock(&self, id: OrderId) -> Result<(), ActivityError> {
        let request = ReleaseRequest { order_id: id.to_string(), idempotency_key: id.step_key("release") };
        self.inventory.clone().release(request).await.map(drop).map_err(|status| again(Failure::from(status)))
    }
}

#[activities]
impl Steps {
    #[activity]
    pub(crate) async fn reserve(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<Outcome, ActivityError> {
        self.reserve_stock(step.id()?).instrument(step.span("reserve")).await
    }

    #[activity]
    pub(crate) async fn authorize(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<Authorization, ActivityError> {
        self.authorize_payment(step.id()?).instrument(step.span("authorize")).await
    }

    #[activity]
    pub(crate) async fn capture(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<Outcome, ActivityError> {
        self.capture_payment(step.id()?).instrument(step.span("capture")).await
    }

    #[activity]
    pub(crate) async fn confirm(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<(), ActivityError> {
        self.apply(step.id()?, Command::Confirm).instrument(step.span("confirm")).await
    }

    #[activity]
    pub(crate) async fn ship(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<(), ActivityError> {
        self.apply(step.id()?, Command::Ship).instrument(step.span("ship")).await
    }

    #[activity]
    pub(crate) async fn void(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<(), ActivityError> {
        self.void_payment(step.id()?).instrument(step.span("void")).await
    }

    #[activity]
    pub(crate) async fn release(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<(), ActivityError> {
        self.release_stock(step.id()?).instrument(step.span("release")).await
    }

    #[activity]
    pub(crate) async fn cancel(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<(), ActivityError> {
        let span = step.span("cancel");
        self.apply(step.id()?, Command::Cancel { reason: step.reason }).instrument(span).await
    }
}
