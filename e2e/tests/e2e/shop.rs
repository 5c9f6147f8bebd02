//! The shop's JSON API, as a program uses it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use testkit::eventually;

/// An order ends within this, or something is wrong.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// The shop behind one address, for one session.
#[derive(Debug, Clone)]
pub(crate) struct Shop {
    pub(crate) base: String,
    pub(crate) session: String,
    region: Option<&'static str>,
    http: Client,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) kind: String,
    pub(crate) served_by: String,
    pub(crate) body: Value,
}

impl Answer {
    /// The reason of a problem document, or nothing.
    pub(crate) fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or_default()
    }

    /// The body of an answer that must be good.
    pub(crate) fn good(self) -> Result<Value> {
        ensure!(self.status.is_success(), "{}: {}", self.status, self.body);
        Ok(self.body)
    }
}

impl Shop {
    pub(crate) fn at(port: u16) -> Self {
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("a client");
        Self { base: format!("http://127.0.0.1:{port}"), session: uuid::Uuid::now_v7().to_string(), region: None, http }
    }

    /// The same for another shopper.
    pub(crate) fn newcomer(&self) -> Self {
        Self { session: uuid::Uuid::now_v7().to_string(), ..self.clone() }
    }

    /// The same for the shopper whose session it is.
    pub(crate) fn as_session(&self, session: String) -> Self {
        Self { session, ..self.clone() }
    }

    /// The same in one region.
    pub(crate) fn in_region(&self, region: &'static str) -> Self {
        Self { region: Some(region), ..self.newcomer() }
    }

    /// The same shopper in another region.
    pub(crate) fn moved_to(&self, region: &'static str) -> Self {
        Self { region: Some(region), ..self.clone() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base)).header("X-Session", &self.session);
        if let Some(region) = self.region { request.header("X-Region", region) } else { request }
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answer> {
        let response = request.send().await?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let (status, kind, served_by) = (response.status(), header("content-type"), header("x-served-by"));
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, kind, served_by, body })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        self.send(self.request(Method::GET, path)).await
    }

    /// Units that this region can sell.
    pub(crate) async fn in_stock(&self, sku: &str) -> Result<i64> {
        self.get(&format!("/api/items/{sku}")).await?.good()?["in_stock"].as_i64().context("an item tells its stock")
    }

    /// An item with plenty of stock.
    pub(crate) async fn any_sku(&self) -> Result<String> {
        self.skus(1).await?.pop().context("an item with stock")
    }

    /// So many items with plenty of stock.
    pub(crate) async fn skus(&self, count: usize) -> Result<Vec<String>> {
        let items = self.get("/api/items?page_size=50").await?.good()?;
        let plenty = items["items"].as_array().context("a page of items")?.iter().filter(|item| item["in_stock"].as_i64() > Some(100));
        let skus: Vec<String> = plenty.filter_map(|item| Some(item["sku"].as_str()?.to_owned())).take(count).collect();
        ensure!(skus.len() == count, "only {} items have stock", skus.len());
        Ok(skus)
    }

    pub(crate) async fn put(&self, sku: &str, quantity: u32) -> Result<Answer> {
        self.send(self.request(Method::PUT, &format!("/api/cart/lines/{sku}")).json(&json!({ "quantity": quantity }))).await
    }

    /// Orders what is in the cart.
    pub(crate) async fn order(&self, token: &str, key: &str) -> Result<Answer> {
        self.send(self.request(Method::POST, "/api/orders").header("Idempotency-Key", key).json(&order_body(token))).await
    }

    /// Puts a piece into the cart and orders it; the order's id.
    pub(crate) async fn buy(&self, sku: &str, token: &str) -> Result<String> {
        self.put(sku, 1).await?.good()?;
        let answer = self.order(token, &uuid::Uuid::now_v7().to_string()).await?;
        ensure!(answer.status == StatusCode::CREATED, "{}: {}", answer.status, answer.body);
        Ok(answer.body["order_id"].as_str().context("an order has an id")?.to_owned())
    }

    /// Waits until an order is shipped or cancelled.
    pub(crate) async fn ended(&self, id: &str) -> Result<Value> {
        let path = format!("/api/orders/{id}");
        let look = async || {
            let answer = self.get(&path).await?;
            match answer.body["state"].as_str() {
                Some("shipped" | "cancelled") => Ok(answer.body),
                _ => bail!("{}: {}", answer.status, answer.body),
            }
        };
        Ok(eventually(&format!("order {id} ends"), ENDS_WITHIN, look).await)
    }

    /// Waits until an order is shipped.
    pub(crate) async fn shipped(&self, id: &str) -> Result<Value> {
        let order = self.ended(id).await?;
        ensure!(order["state"] == "shipped", "{order}");
        Ok(order)
    }

    /// What the payment provider did for an order.
    pub(crate) async fn charges(&self, psp: u16, order_id: &str) -> Result<Vec<Value>> {
        let list = self.send(self.http.get(format!("http://127.0.0.1:{psp}/v1/charges?order_id={order_id}"))).await?.good()?;
        Ok(list["charges"].as_array().context("a list of charges")?.clone())
    }
}

/// What `POST /api/orders` takes.
pub(crate) fn order_body(token: &str) -> Value {
    let address = json!({ "name": "Ada", "line1": "Linienstrasse 12", "city": "Berlin", "country": "DE", "postal_code": "10178" });
    json!({ "payment_token": token, "address": address })
}
