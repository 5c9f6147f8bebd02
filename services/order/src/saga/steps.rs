//! The saga's steps: the activities. Each is idempotent by `<order>/<step>`; a refusal of the domain is a value, anything else is tried again.

use std::sync::Arc;

use ids::OrderId;
use proto::{
    inventory::v1::{ReleaseRequest, ReserveRequest, inventory_service_client::InventoryServiceClient},
    market::v1::{Line, Region},
    payment::v1::{
        AuthorizeRequest, CaptureRequest, GetPaymentRequest, Payment, PaymentState, RefundRequest, VoidRequest,
        payment_service_client::PaymentServiceClient,
    },
};
use rpc::{Context, Failure, Kind, Priority};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use temporalio_macros::activities;
use temporalio_sdk::{
    ApplicationFailure,
    activities::{ActivityContext, ActivityError},
};
use tonic::Status;
use tracing::{Instrument as _, Span};

use super::{flow::Flow, order::VERSION};
use crate::{
    domain::{Command, Course, Order, Refusal},
    error::Error,
    store::{self, sagas},
};

/// Why an order ends cancelled that its shopper cancelled.
pub(crate) const BY_SHOPPER: &str = "ORDER_CANCELLED_BY_SHOPPER";

/// What a saga is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SagaInput {
    /// The order.
    pub order_id: String,
    /// Trace of the request that wanted it.
    pub traceparent: Option<String>,
    /// How it goes; those from before this was kept are of version 0.
    #[serde(default)]
    pub version: u32,
}

impl SagaInput {
    /// A saga of the order that goes as sagas go now.
    #[must_use]
    pub fn new(order_id: String, traceparent: Option<String>) -> Self {
        Self { order_id, traceparent, version: VERSION }
    }
}

/// Input of every step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// The order.
    pub order_id: String,
    /// Trace of the request that placed it.
    pub traceparent: Option<String>,
    /// Why it is undone; empty on the way forward.
    pub reason: String,
}

impl Step {
    pub(super) fn of(input: SagaInput) -> Self {
        Self { order_id: input.order_id, traceparent: input.traceparent, reason: String::new() }
    }

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
pub enum Outcome {
    /// Done, now or before.
    Done,
    /// The domain says no, for this reason.
    Refused(String),
}

/// What authorizing answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authorization {
    /// The amount is held.
    Authorized,
    /// The bank asks the shopper.
    Waiting,
    /// No, for this reason.
    Refused(String),
}

/// What the steps need.
pub struct Steps {
    pool: PgPool,
    inventory: InventoryServiceClient<rpc::Client>,
    payment: PaymentServiceClient<rpc::Client>,
    flow: Flow,
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
        PaymentState::Expired => Authorization::Refused("PAYMENT_EXPIRED".to_owned()),
        PaymentState::ChargedBack => Authorization::Refused("PAYMENT_CHARGED_BACK".to_owned()),
    }
}

impl Steps {
    /// Steps on the orders of `pool`, with these services.
    #[must_use]
    pub fn new(pool: PgPool, inventory: rpc::Client, payment: rpc::Client) -> Self {
        Self { pool, inventory: InventoryServiceClient::new(inventory), payment: PaymentServiceClient::new(payment), flow: Flow::default() }
    }

    /// Steps that tell `flow` which sagas have ended or rest.
    pub(super) fn telling(self, flow: Flow) -> Self {
        Self { flow, ..self }
    }

    /// Takes a step. A saga whose step fails, or whose step says so by `is_at_rest`, makes room for others until it is tried again. When the order's
    /// home is the other region's by now, that carries on and nothing here ever can, so the saga fails for good, as does one whose order was undone; when
    /// the home comes back, the sweeper starts it anew.
    async fn taken<T>(
        &self,
        step: &Step,
        name: &'static str,
        id: OrderId,
        taking: impl Future<Output = Result<T, ActivityError>>,
        is_at_rest: impl FnOnce(&T) -> bool,
    ) -> Result<T, ActivityError> {
        // Whoever has ordered waits for this, so it goes before those who look around.
        let result = Context::default().with_priority(Priority::Checkout).scope(taking.instrument(step.span(name))).await;
        if result.as_ref().map_or(true, is_at_rest) {
            self.flow.leave(id);
        }
        if result.is_err() && sagas::is_lost(&self.pool, id).await.map_err(again)? {
            tracing::info!(order.id = %id, "the order is the other region's now, or undone; this saga ends");
            return Err(ActivityError::application(ApplicationFailure::non_retryable(Error::Fenced)));
        }
        result
    }

    async fn order(&self, id: OrderId) -> Result<Order, ActivityError> {
        store::get(&self.pool, id).await.map(|stored| stored.order).map_err(again)
    }

    async fn apply(&self, id: OrderId, commands: impl IntoIterator<Item = Command>) -> Result<(), ActivityError> {
        store::apply(&self.pool, id, commands).await.map_err(again)
    }

    /// The first step is not always the first: when a worker dies within a workflow task, the steps that it took are taken again from the
    /// beginning, and by then the shopper may have cancelled. So a refusal here means that nothing is held at the provider either.
    async fn reserve_stock(&self, id: OrderId) -> Result<Outcome, ActivityError> {
        let outcome = self.try_to_reserve(id).await?;
        if matches!(outcome, Outcome::Refused(_)) {
            self.void_payment(id).await?;
        }
        Ok(outcome)
    }

    async fn try_to_reserve(&self, id: OrderId) -> Result<Outcome, ActivityError> {
        let order = self.order(id).await?;
        if order.course == Course::Cancelling {
            return Ok(Outcome::Refused(BY_SHOPPER.to_owned()));
        }
        let lines = order.lines.iter().map(|line| Line { sku: line.sku.to_string(), quantity: line.quantity }).collect();
        let home_region = Region::from(order.home).into();
        let request = ReserveRequest { order_id: id.to_string(), lines, idempotency_key: id.step_key("reserve"), home_region };
        match self.inventory.clone().reserve(request).await {
            Ok(_) => Ok(Outcome::Done),
            Err(status) => refusal(status).map(Outcome::Refused),
        }
    }

    /// A repeat answers how the payment stands by now. While the bank waits for the shopper, the provider itself is asked (`GetPayment`).
    async fn authorize_payment(&self, id: OrderId) -> Result<Authorization, ActivityError> {
        let order = self.order(id).await?;
        if order.course == Course::Cancelling {
            return Ok(Authorization::Refused(BY_SHOPPER.to_owned()));
        }
        let request = AuthorizeRequest {
            order_id: id.to_string(),
            amount: Some(order.total.into()),
            payment_token: order.payment_token,
            idempotency_key: id.step_key("authorize"),
            home_region: Region::from(order.home).into(),
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

    /// Takes the order past the point where its shopper may cancel, or finds that they did.
    async fn pass_pivot(&self, id: OrderId) -> Result<Outcome, ActivityError> {
        match store::apply(&self.pool, id, [Command::PassPivot]).await {
            Ok(()) => Ok(Outcome::Done),
            Err(Error::Refused(Refusal::CancelRequested)) => Ok(Outcome::Refused(BY_SHOPPER.to_owned())),
            Err(error) => Err(again(error)),
        }
    }

    async fn capture_payment(&self, id: OrderId) -> Result<Outcome, ActivityError> {
        let request = CaptureRequest { order_id: id.to_string(), idempotency_key: id.step_key("capture") };
        match self.payment.clone().capture(request).await {
            Ok(_) => Ok(Outcome::Done),
            Err(status) => refusal(status).map(Outcome::Refused),
        }
    }

    async fn void_payment(&self, id: OrderId) -> Result<(), ActivityError> {
        let home_region = Region::from(self.order(id).await?.home).into();
        let request = VoidRequest { order_id: id.to_string(), idempotency_key: id.step_key("void"), home_region };
        // A declined payment has nothing to void; a captured one must not be reached here, so it is tried again and seen in the log.
        self.payment.clone().void(request).await.map(drop).map_err(|status| again(Failure::from(status)))
    }

    /// Gives back all that is left. A shopper whose bank took it back already has it; any other refusal contradicts the order, which was paid,
    /// so it is tried again and seen in the log.
    async fn refund_payment(&self, id: OrderId) -> Result<(), ActivityError> {
        let request = RefundRequest { order_id: id.to_string(), idempotency_key: id.step_key("refund"), amount: None };
        match self.payment.clone().refund(request).await.map_err(Failure::from) {
            Err(refused) if refused.reason != "PAYMENT_CHARGED_BACK" => Err(again(refused)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn release_stock(&self, id: OrderId) -> Result<(), ActivityError> {
        let home_region = Region::from(self.order(id).await?.home).into();
        let request = ReleaseRequest { order_id: id.to_string(), idempotency_key: id.step_key("release"), home_region };
        self.inventory.clone().release(request).await.map(drop).map_err(|status| again(Failure::from(status)))
    }
}

#[activities]
impl Steps {
    #[activity]
    pub async fn reserve(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<Outcome, ActivityError> {
        let id = step.id()?;
        self.taken(&step, "reserve", id, Box::pin(self.reserve_stock(id)), |_| false).await
    }

    #[activity]
    pub async fn authorize(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<Authorization, ActivityError> {
        let id = step.id()?;
        let waits = |authorization: &Authorization| *authorization == Authorization::Waiting;
        self.taken(&step, "authorize", id, Box::pin(self.authorize_payment(id)), waits).await
    }

    #[activity]
    pub async fn pivot(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<Outcome, ActivityError> {
        let id = step.id()?;
        self.taken(&step, "pivot", id, Box::pin(self.pass_pivot(id)), |_| false).await
    }

    #[activity]
    pub async fn capture(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<Outcome, ActivityError> {
        let id = step.id()?;
        self.taken(&step, "capture", id, Box::pin(self.capture_payment(id)), |_| false).await
    }

    /// Of version 0.
    #[activity]
    pub async fn confirm(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<(), ActivityError> {
        let id = step.id()?;
        self.taken(&step, "confirm", id, Box::pin(self.apply(id, [Command::Confirm])), |()| false).await
    }

    /// Paid and on its way, in one commit.
    #[activity]
    pub async fn ship(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<(), ActivityError> {
        let id = step.id()?;
        self.taken(&step, "ship", id, Box::pin(self.apply(id, [Command::Confirm, Command::Ship])), |()| true).await
    }

    #[activity]
    pub async fn void(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<(), ActivityError> {
        let id = step.id()?;
        self.taken(&step, "void", id, Box::pin(self.void_payment(id)), |()| false).await
    }

    #[activity]
    pub async fn release(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<(), ActivityError> {
        let id = step.id()?;
        self.taken(&step, "release", id, Box::pin(self.release_stock(id)), |()| false).await
    }

    #[activity]
    pub async fn cancel(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<(), ActivityError> {
        let (id, reason) = (step.id()?, step.reason.clone());
        self.taken(&step, "cancel", id, Box::pin(self.apply(id, [Command::Cancel { reason }])), |()| true).await
    }

    #[activity]
    pub async fn refund(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<(), ActivityError> {
        let id = step.id()?;
        self.taken(&step, "refund", id, Box::pin(self.refund_payment(id)), |()| false).await
    }

    #[activity]
    pub async fn take_back(self: Arc<Self>, _ctx: ActivityContext, step: Step) -> Result<(), ActivityError> {
        let id = step.id()?;
        self.taken(&step, "take_back", id, Box::pin(self.apply(id, [Command::Return])), |()| false).await
    }
}
