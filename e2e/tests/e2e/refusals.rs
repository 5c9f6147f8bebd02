//! Bad input: each a clear answer, and nothing is lost.

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::{
    market::Market,
    shop::{Answer, Shop, order_body},
};

struct Case {
    what: &'static str,
    request: RequestBuilder,
    status: u16,
    reason: &'static str,
}

pub(crate) async fn bad_requests_get_a_problem_document_with_a_page(market: &Market) -> Result<()> {
    let shop = market.shop().await?;
    let sku = shop.any_sku().await?;
    shop.put(&sku, 1).await?.good()?;
    for case in cases(&shop, &sku) {
        let answer = shop.send(case.request).await.with_context(|| case.what)?;
        ensure!(answer.status.as_u16() == case.status && answer.reason() == case.reason, "{}: {answer:?}", case.what);
        is_problem(&shop, &answer).await.with_context(|| case.what)?;
    }
    let cart = shop.get("/api/cart").await?.good()?;
    ensure!(cart["lines"][0]["quantity"] == 1, "the cart is as it was: {cart}");
    Ok(())
}

fn cases(shop: &Shop, sku: &str) -> Vec<Case> {
    let line = |sku: &str, body: String| {
        shop.request(Method::PUT, &format!("/api/cart/lines/{sku}")).header("content-type", "application/json").body(body)
    };
    let order = |body: String| {
        let request = shop.request(Method::POST, "/api/orders").header("content-type", "application/json");
        request.header("Idempotency-Key", uuid::Uuid::now_v7().to_string()).body(body)
    };
    let case = |what, request, status, reason| Case { what, request, status, reason };
    let mut address = order_body("tok_visa");
    address["address"]["country"] = json!("Germany");
    vec![
        case("unknown SKU, read", shop.request(Method::GET, "/api/items/NO-SUCH-ITEM"), 404, "INVENTORY_UNKNOWN_SKU"),
        case("unknown SKU, cart", line("NO-SUCH-ITEM", json!({ "quantity": 1 }).to_string()), 404, "INVENTORY_UNKNOWN_SKU"),
        case("quantity 0", line(sku, json!({ "quantity": 0 }).to_string()), 400, "BFF_INVALID_QUANTITY"),
        case("quantity -1", line(sku, json!({ "quantity": -1 }).to_string()), 400, "BFF_INVALID_QUANTITY"),
        case("quantity 1000", line(sku, json!({ "quantity": 1000 }).to_string()), 400, "BFF_INVALID_QUANTITY"),
        case("quantity 1e30", line(sku, "{\"quantity\": 1e30}".to_owned()), 400, "BFF_INVALID_QUANTITY"),
        case("half a JSON", line(sku, "{\"quantity\": ".to_owned()), 400, "BFF_INVALID_BODY"),
        case("no such order", shop.request(Method::GET, &format!("/api/orders/{}", uuid::Uuid::now_v7())), 404, "ORDER_NOT_FOUND"),
        case("not an order id", shop.request(Method::GET, "/api/orders/1"), 404, "ORDER_NOT_FOUND"),
        case("no key", shop.request(Method::POST, "/api/orders").json(&order_body("tok_visa")), 400, "BFF_IDEMPOTENCY_KEY_REQUIRED"),
        case("unknown card", order(order_body("tok_nobody").to_string()), 400, "BFF_UNKNOWN_PAYMENT_TOKEN"),
        case("bad country", order(address.to_string()), 400, "BFF_INVALID_ADDRESS"),
        case("no such address", shop.request(Method::GET, "/api/nothing"), 404, "BFF_UNKNOWN_PATH"),
        case("wrong method", shop.request(Method::DELETE, "/api/items"), 405, "BFF_METHOD_NOT_ALLOWED"),
        case("2 MiB of body", order("x".repeat(2 << 20)), 413, "EDGE_BODY_TOO_LARGE"),
    ]
}

pub(crate) async fn an_unknown_region_is_refused(market: &Market) -> Result<()> {
    let shop = market.shop().await?;
    let answer = shop.send(shop.request(Method::GET, "/api/items").header("X-Region", "mars")).await?;
    ensure!(answer.status.as_u16() == 400 && answer.reason() == "EDGE_UNKNOWN_REGION", "{answer:?}");
    is_problem(&shop, &answer).await
}

/// A problem document (RFC 9457) whose type leads to a page about the reason.
async fn is_problem(shop: &Shop, answer: &Answer) -> Result<()> {
    ensure!(answer.kind.starts_with("application/problem+json"), "{answer:?}");
    let body = &answer.body;
    ensure!(body["status"] == answer.status.as_u16() && body["title"].is_string() && body["detail"].is_string(), "{body}");
    let page = body["type"].as_str().context("a type")?;
    let explained = shop.get(page).await?;
    ensure!(explained.status.is_success(), "{page}: {}", explained.status);
    ensure!(explained.body.to_string().contains(answer.reason()), "{page} is about {}", answer.reason());
    Ok(())
}
