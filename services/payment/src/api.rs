//! `payment.v1.PaymentService`: decode, call, encode. Payments are idempotent by their order, so the key of a step has nothing to add, but
//! for refunds, of which there may be several.

mod reports;

use ids::{IdempotencyKey, OrderId, Region};
use money::Money;
use proto::payment::v1::{
    self as wire, AuthorizeRequest, AuthorizeResponse, CaptureRequest, CaptureResponse, GetBalancesRequest, GetBalancesResponse,
    GetPaymentRequest, GetPaymentResponse, GetReconciliationRequest, GetReconciliationResponse, ReconcileDayRequest, ReconcileDayResponse,
    RefundRequest, RefundResponse, VoidRequest, VoidResponse, payment_service_server::PaymentService,
};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};

use crate::{
    cashier::Cashier,
    domain::{Command, Intent, Payment, Terms},
    error::Error,
    events,
    reconciler::Reconciler,
    store,
    workflow::{Handover, Starter},
};

/// Longest token of a card, in bytes.
const MAX_TOKEN: usize = 255;
/// Longest key of a refund, in bytes: with the order's id before it, it is a key that the provider takes.
const MAX_REFUND_KEY: usize = 200;

/// Answers the RPCs.
pub(crate) struct Api {
    pub(crate) follower: Follower,
    pub(crate) reconciler: Reconciler,
}

/// Follows commands for callers who may not wait until the end.
#[derive(Clone)]
pub(crate) struct Follower {
    pub(crate) cashier: Cashier,
    pub(crate) starter: Starter,
}

impl Follower {
    /// Follows `command`, for as long as its caller waits. What that leaves open, `intent`, is handed over to a workflow.
    pub(crate) async fn follow(&self, id: OrderId, home: Option<Region>, command: Command, intent: Intent) -> Result<Payment, Error> {
        let handover = Handover::new(&self.starter, id, intent);
        let followed = self.cashier.follow(id, home, &command).await;
        if !followed.as_ref().is_err_and(Error::leaves_open) {
            handover.settled();
        }
        followed
    }
}

#[tonic::async_trait]
impl PaymentService for Api {
    async fn authorize(&self, request: Request<AuthorizeRequest>) -> Result<Response<AuthorizeResponse>, Status> {
        let request = request.into_inner();
        let terms = terms(request.amount.as_ref(), request.payment_token)?;
        let home = home(request.home_region)?;
        let payment = self.follow(&request.order_id, home, Command::Authorize(terms), Intent::Authorization).await?;
        Ok(Response::new(AuthorizeResponse { payment: Some(payment) }))
    }

    async fn capture(&self, request: Request<CaptureRequest>) -> Result<Response<CaptureResponse>, Status> {
        let payment = self.follow(&request.into_inner().order_id, None, Command::Capture, Intent::Capture).await?;
        Ok(Response::new(CaptureResponse { payment: Some(payment) }))
    }

    async fn void(&self, request: Request<VoidRequest>) -> Result<Response<VoidResponse>, Status> {
        let request = request.into_inner();
        let payment = self.follow(&request.order_id, home(request.home_region)?, Command::Void, Intent::Void).await?;
        // A tombstone is no payment to the caller.
        Ok(Response::new(VoidResponse { payment: Some(payment).filter(|payment| payment.amount.is_some()) }))
    }

    async fn refund(&self, request: Request<RefundRequest>) -> Result<Response<RefundResponse>, Status> {
        let request = request.into_inner();
        let key = refund_key(order_id(&request.order_id)?, &request.idempotency_key)?;
        let amount = request.amount.as_ref().map(amount).transpose()?;
        let intent = Intent::Refund(key.clone());
        let payment = self.follow(&request.order_id, None, Command::Refund { key, amount }, intent).await?;
        Ok(Response::new(RefundResponse { payment: Some(payment) }))
    }

    async fn get_payment(&self, request: Request<GetPaymentRequest>) -> Result<Response<GetPaymentResponse>, Status> {
        let id = order_id(&request.into_inner().order_id)?;
        let payment = self.follower.cashier.read(id).await?;
        Ok(Response::new(GetPaymentResponse { payment: Some(events::payment(id, &payment)) }))
    }

    async fn reconcile_day(&self, request: Request<ReconcileDayRequest>) -> Result<Response<ReconcileDayResponse>, Status> {
        let day = reports::day(&request.into_inner().day)?.unwrap_or_else(|| OffsetDateTime::now_utc().date());
        let run = self.reconciler.day(day).await?;
        Ok(Response::new(ReconcileDayResponse { reconciliation: Some(reports::reconciliation(run)) }))
    }

    async fn get_reconciliation(&self, request: Request<GetReconciliationRequest>) -> Result<Response<GetReconciliationResponse>, Status> {
        let day = reports::day(&request.into_inner().day)?;
        let run = store::reconciliation::newest(&self.follower.cashier.pool, day).await?;
        Ok(Response::new(GetReconciliationResponse { reconciliation: run.map(reports::reconciliation) }))
    }

    async fn get_balances(&self, _request: Request<GetBalancesRequest>) -> Result<Response<GetBalancesResponse>, Status> {
        let balances = store::ledger::balances(&self.follower.cashier.pool).await?;
        Ok(Response::new(GetBalancesResponse { balances: balances.into_iter().map(reports::balance).collect() }))
    }
}

impl Api {
    async fn follow(&self, order_id: &str, home: Option<Region>, command: Command, intent: Intent) -> Result<wire::Payment, Error> {
        let id = self::order_id(order_id)?;
        Ok(events::payment(id, &self.follower.follow(id, home, command, intent).await?))
    }
}

/// The home of a payment that there is not yet; none is this region's own.
fn home(home: i32) -> Result<Option<Region>, Error> {
    let home = proto::market::v1::Region::try_from(home).map_err(|_| malformed("home_region is no region"))?;
    Ok(Region::try_from(home).ok())
}

fn malformed(error: impl std::fmt::Display) -> Error {
    Error::Malformed(error.to_string())
}

pub(crate) fn order_id(text: &str) -> Result<OrderId, Error> {
    text.parse().map_err(malformed)
}

/// A refund's name at the provider, where all orders share one space of keys.
fn refund_key(order_id: OrderId, key: &str) -> Result<String, Error> {
    let key: IdempotencyKey = key.parse().map_err(malformed)?;
    if key.as_str().len() > MAX_REFUND_KEY {
        return Err(malformed(format!("a refund's idempotency_key must have at most {MAX_REFUND_KEY} characters")));
    }
    let is_named = key.as_str().strip_prefix(&order_id.to_string()).is_some_and(|rest| rest.starts_with('/'));
    Ok(if is_named { key.to_string() } else { order_id.step_key(key.as_str()) })
}

fn amount(amount: &proto::market::v1::Money) -> Result<Money, Error> {
    let amount: Money = amount.try_into().map_err(malformed)?;
    if amount.amount_minor <= 0 {
        return Err(malformed("amount must be more than 0"));
    }
    Ok(amount)
}

pub(crate) fn terms(amount: Option<&proto::market::v1::Money>, token: String) -> Result<Terms, Error> {
    let amount = self::amount(amount.ok_or_else(|| malformed("amount is required"))?)?;
    if token.is_empty() || token.len() > MAX_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(malformed(format!("payment_token must have 1 to {MAX_TOKEN} visible ASCII characters")));
    }
    Ok(Terms { amount, token })
}
