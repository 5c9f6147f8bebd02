//! `order.v1.OrderService` for shoppers: the prices are the shop's, and an order does not tell who placed it.

use proto::{
    market::v1 as market,
    order::v1::{
        self as wire, CancelOrderRequest, CancelOrderResponse, GetOrderRequest, GetOrderResponse, PlaceOrderRequest, PlaceOrderResponse,
        ReturnOrderRequest, ReturnOrderResponse, order_service_server::OrderService,
    },
};
use tonic::{Request, Response, Status};

use crate::{error::Error, input::named, shop::Shop};

/// Answers the RPCs.
pub(crate) struct Orders {
    pub(crate) shop: Shop,
}

#[tonic::async_trait]
impl OrderService for Orders {
    async fn place_order(&self, request: Request<PlaceOrderRequest>) -> Result<Response<PlaceOrderResponse>, Status> {
        // These lines are the caller's, whatever they say: a repeat with others is another order.
        let request = PlaceOrderRequest { lines_from_cart: false, ..request.into_inner() };
        let wanted = request.lines.iter().map(|line| market::Line { sku: line.sku.clone(), quantity: line.quantity });
        let answer = match self.shop.price(wanted.collect()).await {
            Ok(lines) => self.shop.place(PlaceOrderRequest { lines, ..request }).await?,
            Err(failure) => match self.shop.place(for_nothing(request)).await {
                Ok(repeated) => repeated,
                Err(Error::Failed(refusal)) if refusal.reason == "ORDER_KEY_REUSED" => return Err(refusal.into()),
                Err(_) => return Err(failure.into()),
            },
        };
        Ok(Response::new(PlaceOrderResponse { order: answer.order.map(without_owner), ..answer }))
    }

    async fn cancel_order(&self, request: Request<CancelOrderRequest>) -> Result<Response<CancelOrderResponse>, Status> {
        let answer = self.shop.cancel(request.into_inner()).await?;
        Ok(Response::new(CancelOrderResponse { order: answer.order.map(without_owner), ..answer }))
    }

    async fn return_order(&self, request: Request<ReturnOrderRequest>) -> Result<Response<ReturnOrderResponse>, Status> {
        let answer = self.shop.take_back(request.into_inner()).await?;
        Ok(Response::new(ReturnOrderResponse { order: answer.order.map(without_owner), ..answer }))
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Result<Response<GetOrderResponse>, Status> {
        let order = self.shop.stored_order(named(&request.into_inner().order_id)?).await?;
        Ok(Response::new(GetOrderResponse { order: Some(without_owner(order)) }))
    }
}

/// The request as it can only repeat: what costs nothing is never ordered, and what the key ordered before is the answer, whether or not it
/// is still sold.
fn for_nothing(request: PlaceOrderRequest) -> PlaceOrderRequest {
    let free = |line: market::PricedLine| {
        let unit_price = Some(market::Money { amount_minor: 0, currency: "EUR".to_owned() });
        market::PricedLine { unit_price, title: String::new(), ..line }
    };
    PlaceOrderRequest { lines: request.lines.into_iter().map(free).collect(), ..request }
}

fn without_owner(order: wire::Order) -> wire::Order {
    wire::Order { session_id: String::new(), address: None, ..order }
}
