//! Orders as the suites place them: over gRPC, at the order service itself.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use ids::Region;
use proto::{
    inventory::v1::{Item, ListItemsRequest, inventory_service_client::InventoryServiceClient},
    market::v1::{Address, PricedLine},
    order::v1::{PlaceOrderRequest, order_service_client::OrderServiceClient},
};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use super::{bed::Bed, measure::Latencies};

/// HTTP/2 connections that callers share.
pub(super) const CONNECTIONS: usize = 4;

/// Items with less are not bought: no suite asks how it is to be sold out.
const PLENTY: i64 = 100;

/// When callers stop.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// At that moment.
    At(Instant),
    /// After so many orders each.
    Placed(usize),
}

/// Places orders by so many callers, each one after the other; how long each took.
pub(super) async fn place(bed: &Bed, region: Region, callers: usize, until: Until) -> Result<Latencies> {
    place_of(bed, region, callers, until, lines(bed, region).await?).await
}

/// The same of these lines only.
pub(super) async fn place_of(bed: &Bed, region: Region, callers: usize, until: Until, lines: Vec<PricedLine>) -> Result<Latencies> {
    let endpoint = Endpoint::from_shared(bed.url(region, "order"))?.tcp_nodelay(true);
    let channels = try_join_all((0..CONNECTIONS).map(|_| endpoint.connect())).await?;
    let call = |caller: usize| call(channels[caller % CONNECTIONS].clone(), lines.clone(), caller, until);
    let callers: Vec<_> = (0..callers).map(|caller| tokio::spawn(call(caller))).collect();
    let mut latencies = Latencies::default();
    for caller in callers {
        latencies.extend(caller.await??);
    }
    Ok(latencies)
}

async fn call(channel: Channel, lines: Vec<PricedLine>, caller: usize, until: Until) -> Result<Vec<Duration>> {
    let mut client = OrderServiceClient::new(channel);
    let session = Uuid::now_v7().to_string();
    let mut took = Vec::new();
    let goes_on = |placed: usize| match until {
        Until::At(end) => Instant::now() < end,
        Until::Placed(count) => placed < count,
    };
    while goes_on(took.len()) {
        let line = lines[(caller * 7 + took.len()) % lines.len()].clone();
        let begun = Instant::now();
        client.place_order(order(&session, line)).await.context("place an order")?;
        took.push(begun.elapsed());
    }
    Ok(took)
}

fn order(session: &str, line: PricedLine) -> PlaceOrderRequest {
    let [name, line1, city, country, postal_code] = ["Ada Bench", "Linienstrasse 12", "Berlin", "DE", "10178"].map(str::to_owned);
    PlaceOrderRequest {
        session_id: session.to_owned(),
        lines: vec![line],
        payment_token: "tok_visa".to_owned(),
        address: Some(Address { name, line1, city, country, postal_code }),
        idempotency_key: Uuid::now_v7().to_string(),
        lines_from_cart: false,
    }
}

/// One piece of each item that has plenty of stock.
pub(super) async fn lines(bed: &Bed, region: Region) -> Result<Vec<PricedLine>> {
    let mut inventory = InventoryServiceClient::connect(bed.url(region, "inventory")).await.context("connect to inventory")?;
    let items = inventory.list_items(ListItemsRequest { page_size: 200, page_token: String::new() }).await?.into_inner().items;
    let lines: Vec<_> = items.into_iter().filter(|item| item.in_stock > PLENTY).map(line).collect();
    ensure!(!lines.is_empty(), "no item has more than {PLENTY} in stock");
    Ok(lines)
}

fn line(item: Item) -> PricedLine {
    PricedLine { sku: item.sku, quantity: 1, title: item.title, unit_price: item.price }
}
