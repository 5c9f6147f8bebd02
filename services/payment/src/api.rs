//! `payment.v1.PaymentService`: decode, call, encode. Payments are idempotent by their order, so the key of a step has nothing to add.

use ids::OrderId;
use money::Money;
use proto::payment::v1::{
    self as wire, AuthorizeRequest, AuthorizeResponse, CaptureRequest, CaptureResponse, GetPaymentRequest, GetPaymentResponse,
    RefundRequest, RefundResponse, VoidRequest, VoidResponse, payment_service_server::PaymentService,
};
use tonic::{Request, Response, Status};

use crate::{
    cashier::Cashier,
    domain::{Command, Terms},
    error::Error,
    events,
};

/// Longest token of a card, in bytes.
const MAX_TOKEN: usize = 255;

/// Answers the RPCs.
pub(crate) struct Api {
    pub(crate) cashier: Cashier,
}

#[tonic::async_trait]
impl PaymentService for Api {
    async fn authorize(&self, request: Request<AuthorizeRequest>) -> Result<Response<AuthorizeResponse>, Status> {
        let request = request.into_inner();
        let terms = terms(request.amount.as_ref(), request.payment_token)?;
        let payment = self.follow(&request.order_id, Command::Authorize(terms)).await?;
        Ok(Response::new(AuthorizeResponse { payment: Some(payment) }))
    }

    async fn capture(&self, request: Request<CaptureRequest>) -> Result<Response<CaptureResponse>, Status> {
        let payment = self.follow(&request.into_inner().order_id, Command::Capture).await?;
        Ok(Response::new(CaptureResponse { payment: Some(payment) }))
    }

    async fn void(&self, request: Request<VoidRequest>) -> Result<Response<VoidResponse>, Status> {
        let payment = self.follow(&request.into_inner().order_id, Command::Void).await?;
        // A tombstone is no payment to the caller.
        Ok(Response::new(VoidResponse { payment: Some(payment).filter(|payment| payment.amount.is_some()) }))
    }

    async fn refund(&self, request: Request<RefundRequest>) -> Result<Response<RefundResponse>, Status> {
        let payment = self.follow(&request.into_inner().order_id, Command::Refund).await?;
        Ok(Response::new(RefundResponse { payment: Some(payment) }))
    }

    async fn get_payment(&self, request: Request<GetPaymentRequest>) -> Result<Response<GetPaymentResponse>, Status> {
        let id = order_id(&request.into_inner().order_id)?;
        let payment = self.cashier.read(id).await?;
        Ok(Response::new(GetPaymentResponse { payment: Some(events::payment(id, &payment)) }))
    }
}

impl Api {
    async fn follow(&self, order_id: &str, command: Command) -> Result<wire::Payment, Error> {
        let id = self::order_id(order_id)?;
        let payment = self.cashier.follow(id, &command).await?;
        Ok(events::payment(id, &payment))
    }
}

fn malformed(error: impl std::fmt::Display) -> Error {
    Error::Malformed(error.to_string())
}

fn order_id(text: &str) -> Result<OrderId, Error> {
    text.parse().map_err(malformed)
}

fn terms(amount: Option<&proto::market::v1::Money>, token: String) -> Result<Terms, Error> {
    let amount: Money = amount.ok_or_else(|| malformed("amount is required"))?.try_into().map_err(malformed)?;
    if amount.amount_minor <= 0 {
        return Err(malformed("amount must be more than 0"));
    }
    if token.is_empty() || token.len() > MAX_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(malformed(format!("payment_token must have 1 to {MAX_TOKEN} visible ASCII characters")));
    }
    Ok(Terms { amount, token })
}
