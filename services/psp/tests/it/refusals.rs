//! Every refusal is a problem document with a page, and leaves nothing.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use super::{World, order};

/// Checks the document, and that its type leads to its page.
async fn is_problem(world: &World, response: Response, status: u16, reason: &str) {
    assert_eq!(response.status(), status, "{reason}");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: Value = response.json().await.expect("JSON");
    assert_eq!((problem["reason"].as_str(), problem["status"].as_u64()), (Some(reason), Some(u64::from(status))));
    assert_eq!(problem["type"], format!("/errors/{reason}"));
    assert!(problem["title"].is_string() && problem["detail"].is_string());
    let page = world.get(&format!("/errors/{reason}")).await;
    assert_eq!(page.status(), 200);
    assert!(page.text().await.expect("a body").starts_with(&format!("# {reason}\n")));
}

#[tokio::test]
async fn a_malformed_request_for_a_charge_is_refused_and_leaves_nothing() {
    let world = World::new().await;
    let request = || world.http.post(world.url("/v1/charges"));
    let keyed = || request().header("idempotency-key", "k1");
    let json = |body: &str| keyed().header("content-type", "application/json").body(body.to_owned());
    let sound = order("o1", "tok_visa");
    let large = format!("{{\"order_id\":\"{}\"}}", "x".repeat(16 * 1024));
    let refused: [(RequestBuilder, u16, &str); 13] = [
        (request().json(&sound), 400, "PSP_INVALID_IDEMPOTENCY_KEY"),
        (request().header("idempotency-key", "").json(&sound), 400, "PSP_INVALID_IDEMPOTENCY_KEY"),
        (request().header("idempotency-key", "k".repeat(256)).json(&sound), 400, "PSP_INVALID_IDEMPOTENCY_KEY"),
        (keyed().header("idempotency-key", "k2").json(&sound), 400, "PSP_INVALID_IDEMPOTENCY_KEY"),
        (keyed().body(sound.to_string()), 415, "PSP_CONTENT_TYPE"),
        (json(""), 400, "PSP_INVALID_REQUEST"),
        (json("{\"order_id\":"), 400, "PSP_INVALID_REQUEST"),
        (json("[]"), 400, "PSP_INVALID_REQUEST"),
        (json(&"[".repeat(10_000)), 400, "PSP_INVALID_REQUEST"),
        (json("\u{0}"), 400, "PSP_INVALID_REQUEST"),
        (json(&large), 413, "PSP_BODY_TOO_LARGE"),
        (json(&"x".repeat(1024 * 1024)), 413, "PSP_BODY_TOO_LARGE"),
        (keyed().json(&order("o1", "tok_gold")), 400, "PSP_UNKNOWN_TOKEN"),
    ];
    for (request, status, reason) in refused {
        is_problem(&world, request.send().await.unwrap(), status, reason).await;
    }
    assert!(world.list("").await.is_empty());
    assert_eq!(world.charge("k1", &sound).await.0, 201, "a refused request does not use up its key");
}

#[tokio::test]
async fn addresses_and_methods_that_are_not_there_are_refused() {
    let world = World::new().await;
    for (method, path, status, reason) in [
        (Method::GET, "/v2/charges", 404, "PSP_UNKNOWN_PATH"),
        (Method::GET, "/v1/charges/", 404, "PSP_UNKNOWN_PATH"),
        (Method::POST, "/v1/charges/x/approve", 404, "PSP_UNKNOWN_PATH"),
        (Method::GET, "/errors/NOPE", 404, "PSP_UNKNOWN_PATH"),
        (Method::GET, "/v1/charges/%FF", 404, "PSP_UNKNOWN_PATH"),
        (Method::GET, "/v1/charges/x", 404, "PSP_CHARGE_NOT_FOUND"),
        (Method::DELETE, "/v1/charges", 405, "PSP_METHOD_NOT_ALLOWED"),
        (Method::GET, "/v1/charges/x/capture", 405, "PSP_METHOD_NOT_ALLOWED"),
        (Method::GET, "/v1/charges?page_size=0", 400, "PSP_INVALID_REQUEST"),
        (Method::GET, "/v1/charges?page_token=x", 400, "PSP_INVALID_REQUEST"),
        (Method::GET, "/v1/charges?state=captured", 400, "PSP_INVALID_REQUEST"),
    ] {
        let response = world.http.request(method, world.url(path)).send().await.unwrap();
        assert_eq!(response.headers().contains_key("allow"), status == 405, "{path}");
        is_problem(&world, response, status, reason).await;
    }
}

#[tokio::test]
async fn webhooks_cannot_be_sent_to_other_machines() {
    let world = World::new().await;
    for url in ["http://example.com/", "https://127.0.0.1/", "http://169.254.169.254/latest", "hook", ""] {
        let mut body = order("o1", "tok_3ds");
        body["webhook_url"] = url.into();
        is_problem(&world, world.post("k1", &body).await, 400, "PSP_INVALID_REQUEST").await;
    }
}
