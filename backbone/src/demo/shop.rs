//! The shop's JSON API, as a shopper's program uses it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use ids::Region;
use rand::{RngExt, seq::IndexedRandom};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::probe;

/// The shop behind one door.
#[derive(Debug, Clone)]
pub(super) struct Shop {
    base: String,
    client: Client,
}

impl Shop {
    pub(super) fn at(base: String) -> Result<Self> {
        Ok(Self { base, client: probe::http()? })
    }

    fn request(&self, method: Method, path: &str, region: Region, session: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).header("X-Region", region.as_str()).header("X-Session", session)
    }

    /// An item with plenty of stock, picked at random.
    pub(super) async fn any_sku(&self, region: Region) -> Result<String> {
        let answer = read(self.request(Method::GET, "/api/items?page_size=100", region, "browse")).await?;
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        let plenty: Vec<_> =
            items.iter().filter(|item| item["in_stock"].as_i64() > Some(100)).filter_map(|item| item["sku"].as_str()).collect();
        let sku = plenty.choose(&mut rand::rng()).context("the shop shows no item with stock")?;
        Ok((*sku).to_owned())
    }

    /// Looks at an item.
    pub(super) async fn look_at(&self, region: Region, sku: &str) -> Result<Value> {
        read(self.request(Method::GET, &format!("/api/items/{sku}"), region, "browse")).await
    }

    /// Puts one piece into the cart and orders it. Returns the order's id.
    pub(super) async fn order(&self, region: Region, session: &str, sku: &str) -> Result<String> {
        let line = self.request(Method::PUT, &format!("/api/cart/lines/{sku}"), region, session);
        read(line.json(&json!({ "quantity": 1 }))).await?;
        let (line1, city, country, postal_code) = match region {
            Region::Eu => ("Linienstrasse 12", "Berlin", "DE", "10178"),
            Region::Us => ("350 Fifth Avenue", "New York", "US", "10118"),
        };
        let address = json!({ "name": "Ada Demo", "line1": line1, "city": city, "country": country, "postal_code": postal_code });
        let body = json!({ "payment_token": "tok_visa", "address": address });
        let key = format!("{session}-{:016x}", rand::rng().random::<u64>());
        let order = self.request(Method::POST, "/api/orders", region, session).header("Idempotency-Key", key);
        let answer = read(order.json(&body)).await?;
        Ok(answer["order_id"].as_str().context("the answer to an order has an order_id")?.to_owned())
    }

    /// Waits until an order is shipped, seen from one region. A cancelled one is an error.
    pub(super) async fn until_final(&self, region: Region, session: &str, id: &str, limit: Duration) -> Result<String> {
        let mut last = "unknown".to_owned();
        let end = tokio::time::Instant::now() + limit;
        while tokio::time::Instant::now() < end {
            let answer = self.request(Method::GET, &format!("/api/orders/{id}"), region, session).send().await?;
            // The other region may not have it yet.
            if answer.status() != StatusCode::NOT_FOUND {
                let order: Value = answer.error_for_status()?.json().await?;
                order["state"].as_str().unwrap_or_default().clone_into(&mut last);
                match last.as_str() {
                    "shipped" => return Ok(last),
                    "cancelled" => bail!("order {id} was cancelled: {order}"),
                    _ => {}
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("order {id}, seen from {region}, is {last} after {} s: `backbone logs order --region {region}` says why", limit.as_secs())
    }
}

/// The answer's body; a refusal's problem document becomes the error.
async fn read(request: RequestBuilder) -> Result<Value> {
    let answer = request.send().await?;
    let (status, url) = (answer.status(), answer.url().clone());
    let text = answer.text().await?;
    if !status.is_success() {
        bail!("{url} answered {status}: {text}");
    }
    if text.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&text).with_context(|| format!("read the answer of {url}")) }
}
