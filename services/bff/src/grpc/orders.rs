//! `order.v1.OrderService` for shoppers: the prices are the shop's, and an order does not tell who placed it.

use proto::{
    market::v1 as market,
    order::v1::{
        self as wire, GetOrderRequest, GetOrderResponse, PlaceOrderRequest, PlaceOrderResponse, order_service_server::OrderService,
    },
};
use tonic::{Request, Response, Status};

use crate::{input::named, shop::Shop};

/// Answers the RPCs.
pub(crate) struct Orders {
    pub(crate) shop: Shop,
}

#[tonic::async_trait]
impl OrderService for Orders {
    async fn place_order(&self, request: Request<PlaceOrderRequest>) -> Result<Response<PlaceOrderResponse>, Status> {
        let request = request.into_inner();
        let wanted = request.lines.iter().map(|line| market::Line { sku: line.sku.clone(), quantity: line.quantity });
        let lines = self.shop.price(wanted.collect()).await?;
        let answer = self.shop.place(PlaceOrderRequest { lines, ..request }).await?;
        Ok(Response::new(PlaceOrderResponse { order: answer.order.map(without_owner), ..answer }))
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Result<Response<GetOrderResponse>, Status> {
        let order = self.shop.stored_order(named(&request.into_inner().order_id)?).await?;
        Ok(Response::new(GetOrderResponse { order: Some(without_owner(order)) }))
    }
}

fn without_owner(order: wire::Order) -> wire::Order {
    wire::Order { session_id: String::new(), address: None, ..order }
}
