//! The market through the tools that engineers have: `grpcurl` and `kcat`.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;
use tokio::process::Command;

use crate::{
    market::{Market, Said, run},
    shop::order_body,
};

const SERVICES: [(&str, &str); 6] = [
    ("cart", "cart.v1.CartService"),
    ("inventory", "inventory.v1.InventoryService"),
    ("payment", "payment.v1.PaymentService"),
    ("order", "order.v1.OrderService"),
    ("search", "search.v1.SearchService"),
    ("region", "region.v1.RegionService"),
];

/// An item that a test made for itself.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) sku: String,
    pub(crate) title: String,
}

async fn grpcurl(arguments: &[&str]) -> Result<Said> {
    let program = std::env::var_os("GRPCURL").context("GRPCURL is not set: run `make e2e`")?;
    let mut command = Command::new(program);
    command.arg("-plaintext").args(arguments);
    run(command).await
}

/// Puts an item with `stock` units into a region's catalog.
pub(crate) async fn new_item(market: &Market, region: &str, stock: i64) -> Result<Item> {
    let number = uuid::Uuid::now_v7().simple().to_string();
    let item = Item { sku: format!("E2E-{}", number.to_uppercase()), title: format!("Test item {number}") };
    let price = json!({ "amountMinor": 1999, "currency": "EUR" });
    let wire = json!({ "sku": item.sku, "title": item.title, "description": "For a test.", "category": "test", "price": price });
    let request = json!({ "item": wire, "initialStock": stock, "idempotencyKey": item.sku }).to_string();
    let address = format!("127.0.0.1:{}", market.process(region, "inventory").await?.port);
    let said = grpcurl(&["-d", &request, &address, "inventory.v1.InventoryService/PutItem"]).await?;
    ensure!(said.code == 0, "{}", said.text);
    Ok(item)
}

pub(crate) async fn grpcurl_lists_and_calls_every_service(market: &Market) -> Result<()> {
    for region in ["eu", "us"] {
        for (name, service) in SERVICES {
            let address = format!("127.0.0.1:{}", market.process(region, name).await?.port);
            let list = grpcurl(&[&address, "list"]).await?;
            ensure!(list.code == 0, "{region}/{name}: {}", list.text);
            for listed in [service, "grpc.health.v1.Health"] {
                ensure!(list.text.lines().any(|line| line == listed), "{region}/{name} does not list {listed}:\n{}", list.text);
            }
            let described = grpcurl(&[&address, "describe", service]).await?;
            ensure!(described.code == 0 && described.text.contains("rpc "), "{}", described.text);
            let health = grpcurl(&["-d", &json!({ "service": service }).to_string(), &address, "grpc.health.v1.Health/Check"]).await?;
            ensure!(health.text.contains("SERVING"), "{}", health.text);
        }
    }
    let refused = {
        let address = format!("127.0.0.1:{}", market.process("eu", "order").await?.port);
        grpcurl(&["-d", r#"{"orderId": "nonsense"}"#, &address, "order.v1.OrderService/GetOrder"]).await?
    };
    ensure!(refused.code != 0 && refused.text.contains("ORDER_INVALID_REQUEST"), "the reason is in the details: {}", refused.text);
    Ok(())
}

/// The messages of a topic about one order, with their headers.
async fn messages(market: &Market, region: &str, topic: &str, order_id: &str) -> Result<Vec<Value>> {
    let broker = format!("127.0.0.1:{}", market.process(region, "kafka").await?.port);
    let mut command = Command::new("kcat");
    command.args(["-C", "-b", &broker, "-t", topic, "-o", "beginning", "-e", "-q", "-J"]);
    let said = run(command).await.context("kcat is a Debian package")?;
    ensure!(said.code == 0, "{}", said.text);
    let lines = said.text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.filter(|message| message["key"] == order_id).collect())
}

/// The value of a message's header.
fn header<'a>(message: &'a Value, name: &str) -> Option<&'a str> {
    let headers = message["headers"].as_array()?;
    let at = headers.iter().step_by(2).position(|key| key == name)?;
    headers.get(2 * at + 1)?.as_str()
}

async fn order_events(market: &Market, region: &str, order_id: &str) -> Result<Vec<Value>> {
    let look = async || {
        let found = messages(market, region, "order.events", order_id).await?;
        let last = found.last().and_then(|message| header(message, "ce_type"));
        if last == Some("order.shipped") { Ok(found) } else { bail!("{} events, the last {last:?}", found.len()) }
    };
    Ok(eventually("the event of the shipment", Duration::from_secs(20), look).await)
}

pub(crate) async fn kcat_reads_the_order_events_with_their_headers(market: &Market) -> Result<()> {
    let door = market.door("eu").await?;
    let id = door.buy(&door.any_sku().await?, "tok_visa").await?;
    door.shipped(&id).await?;
    let events = order_events(market, "eu", &id).await?;
    let kinds: Vec<_> = events.iter().filter_map(|event| header(event, "ce_type")).collect();
    ensure!(kinds == ["order.placed", "order.confirmed", "order.shipped"], "{kinds:?}");
    for event in &events {
        for name in ["ce_id", "ce_source", "ce_time", "traceparent", "content-type"] {
            ensure!(header(event, name).is_some_and(|value| !value.is_empty()), "header {name} of {event}");
        }
        ensure!(header(event, "ce_specversion") == Some("1.0") && header(event, "ce_subject") == Some(&id), "{event}");
        ensure!(header(event, "ce_source") == Some("/market/eu/order"), "{event}");
    }
    Ok(())
}

pub(crate) async fn one_trace_goes_from_the_request_to_the_event(market: &Market) -> Result<()> {
    let shop = market.shop().await?.in_region("us");
    let trace_id = uuid::Uuid::now_v7();
    let trace = trace_id.simple().to_string();
    shop.put(&shop.any_sku().await?, 1).await?.good()?;
    let request = shop.request(Method::POST, "/api/orders").header("Idempotency-Key", &trace).json(&order_body("tok_visa"));
    let placed = shop.send(request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))).await?.good()?;
    let id = placed["order_id"].as_str().context("an id")?;
    shop.shipped(id).await?;
    for (topic, kind) in
        [("order.events", "order.shipped"), ("payment.events", "payment.captured"), ("inventory.events", "inventory.reserved")]
    {
        let events = messages(market, "us", topic, id).await?;
        let event = events.iter().find(|event| header(event, "ce_type") == Some(kind)).with_context(|| format!("{kind} of {id}"))?;
        let carried = header(event, "traceparent").unwrap_or_default();
        ensure!(carried.contains(&trace), "{kind} carries {carried} and not {trace}");
    }
    let parts = ["edge", "bff", "order", "inventory", "payment", "psp"];
    let exported = async || match market.traces.services(&trace_id) {
        services if parts.iter().all(|part| services.contains(*part)) => Ok(()),
        services => Err(format!("spans of {services:?}")),
    };
    eventually("every part of the way has exported its spans", Duration::from_secs(30), exported).await;
    Ok(())
}
