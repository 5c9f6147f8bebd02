//! What is not passed on.

use reqwest::Method;

use crate::{World, problem, sent};

#[tokio::test]
async fn a_declared_body_over_the_limit_is_refused_unread() {
    let world = World::new().await;
    let answer = world.raw(b"POST /api/orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 1048577\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("EDGE_BODY_TOO_LARGE"), "{answer}");
    assert_eq!(world.eu.seen().len(), 0);
}

#[tokio::test]
async fn a_body_of_chunks_is_counted_as_it_flows() {
    let world = World::with(&[("PROBE_INTERVAL", "1h"), ("MAX_BODY", "100KiB")]).await;
    for key in ["", "Idempotency-Key: k\r\n"] {
        let head = format!("POST /api/orders HTTP/1.1\r\nHost: shop\r\n{key}Transfer-Encoding: chunked\r\n\r\n");
        let chunk = [&b"6400\r\n"[..], &[b'x'; 0x6400], b"\r\n"].concat();
        let over = [head.as_bytes(), &chunk.repeat(4), b"1\r\nx\r\n"].concat();
        let answer = world.raw(&over).await;
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("EDGE_BODY_TOO_LARGE"), "{answer}");
    }
    assert_eq!((world.eu.seen().len(), world.us.seen().len()), (0, 0));
    let within = sent(world.post("/api/orders").body("x".repeat(100 * 1024))).await;
    assert_eq!(within.status().as_u16(), 200);
}

#[tokio::test]
async fn an_address_over_the_limit_is_refused() {
    let world = World::new().await;
    let response = sent(world.get(&format!("/?q={}", "x".repeat(8 * 1024)))).await;
    assert_eq!(problem(response).await, (400, "EDGE_INVALID_REQUEST".to_owned(), String::new()));
    let response = sent(world.get(&format!("/?q={}", "x".repeat(8 * 1024 - 4)))).await;
    assert_eq!(response.status().as_u16(), 200);
}

#[tokio::test]
async fn a_request_has_one_host_and_the_edge_is_no_open_proxy() {
    let world = World::new().await;
    for request in [
        "GET /api/items HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /api/items HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\nConnection: close\r\n\r\n",
    ] {
        let answer = world.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("EDGE_INVALID_REQUEST"), "{request}{answer}");
    }
    assert_eq!(world.eu.seen().len(), 0);
    let old = world.raw(b"GET /api/items HTTP/1.0\r\n\r\n").await;
    assert!(old.contains(" 200 OK\r\n") && old.ends_with("\r\n\r\neu"), "{old}");
}

#[tokio::test]
async fn other_methods_than_get_are_not_answered_at_the_operators_address() {
    let world = World::new().await;
    sent(world.request(Method::DELETE, "/edge/regions")).await;
    assert_eq!(world.eu.seen()[0].method, "DELETE");
}
