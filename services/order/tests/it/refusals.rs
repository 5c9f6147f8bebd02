//! Requests that cannot be orders, and orders that are not there.

use proto::order::v1::PlaceOrderRequest;
use rpc::Kind;

use super::{World, line, request};

type Spoil = fn(&mut PlaceOrderRequest);

const SPOILT: [(&str, Spoil); 9] = [
    ("quantity zero", |request| request.lines[0].quantity = 0),
    ("quantity huge", |request| request.lines[0].quantity = u32::MAX),
    ("no price", |request| request.lines[0].unit_price = None),
    ("sku of no form", |request| request.lines[0].sku = "mug 1".to_owned()),
    ("sku twice", |request| request.lines.push(line("MUG-1", 1))),
    ("no address", |request| request.address = None),
    ("no key", |request| request.idempotency_key.clear()),
    ("no session", |request| request.session_id.clear()),
    ("no card", |request| request.payment_token.clear()),
];

#[tokio::test]
async fn a_malformed_request_is_refused_and_leaves_nothing() {
    let world = World::new().await;
    for (what, spoil) in SPOILT {
        let mut request = request("s1", "k1");
        spoil(&mut request);
        let refused = world.place(request).await.unwrap_err();
        assert_eq!((refused.kind, refused.reason.as_str()), (Kind::Invalid, "ORDER_INVALID_REQUEST"), "{what}: {refused}");
    }
    assert!(world.outbox().await.is_empty());
    let keys: i64 = sqlx::query_scalar("SELECT count(*) FROM idempotency_keys").fetch_one(&world.pool()).await.unwrap();
    assert_eq!(keys, 0, "a refused request does not use up its key");
}

#[tokio::test]
async fn an_order_without_lines_is_refused() {
    let world = World::new().await;
    let mut empty = request("s1", "k1");
    empty.lines.clear();
    let refused = world.place(empty).await.unwrap_err();
    assert_eq!((refused.kind, refused.reason.as_str()), (Kind::Refused, "ORDER_EMPTY"));
}

#[tokio::test]
async fn an_unknown_order_is_not_found() {
    let world = World::new().await;
    let refused = world.get("0193a0b0-0000-7000-8000-000000000000").await.unwrap_err();
    assert_eq!((refused.kind, refused.reason.as_str()), (Kind::NotFound, "ORDER_NOT_FOUND"));
    let refused = world.get("../../etc/passwd").await.unwrap_err();
    assert_eq!(refused.kind, Kind::Invalid);
}
