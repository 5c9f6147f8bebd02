//! What cannot be done is said, and changes nothing.

use rpc::Kind;

use super::{World, new_order};

#[tokio::test]
async fn another_amount_or_card_for_the_same_order_is_refused() {
    let (world, order) = (World::new().await, new_order());
    world.authorize(&order, 1250, "tok_visa").await.unwrap();
    for (amount, token) in [(1251, "tok_visa"), (1250, "tok_mastercard")] {
        let refused = world.authorize(&order, amount, token).await.unwrap_err();
        assert_eq!((refused.kind, refused.reason.as_str()), (Kind::Conflict, "PAYMENT_DIFFERS"));
    }
    assert_eq!(world.charges(&order).await.len(), 1);
}

#[tokio::test]
async fn steps_out_of_order_are_refused() {
    let (world, order) = (World::new().await, new_order());
    assert_eq!(world.capture(&order).await.unwrap_err().reason, "PAYMENT_NOT_FOUND");
    assert_eq!(world.refund(&order).await.unwrap_err().reason, "PAYMENT_NOT_FOUND");
    assert_eq!(world.payment(&order).await.unwrap_err().reason, "PAYMENT_NOT_FOUND");
    world.authorize(&order, 1250, "tok_visa").await.unwrap();
    assert_eq!(world.refund(&order).await.unwrap_err().reason, "PAYMENT_NOT_CAPTURED");
    world.capture(&order).await.unwrap();
    assert_eq!(world.void(&order).await.unwrap_err().reason, "PAYMENT_CAPTURED");
    world.refund(&order).await.unwrap();
    assert_eq!(world.capture(&order).await.unwrap_err().reason, "PAYMENT_REFUNDED");

    let declined = new_order();
    world.authorize(&declined, 1, "tok_decline").await.unwrap();
    assert_eq!(world.capture(&declined).await.unwrap_err().reason, "PAYMENT_DECLINED");
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused() {
    let world = World::new().await;
    for (order, amount, token) in [
        ("not-a-uuid", 1, "tok_visa"),
        ("018f4e8a-0000-7000-8000-000000000001", 0, "tok_visa"),
        ("018f4e8a-0000-7000-8000-000000000001", -5, "tok_visa"),
        ("018f4e8a-0000-7000-8000-000000000001", 1, ""),
        ("018f4e8a-0000-7000-8000-000000000001", 1, "tok visa"),
    ] {
        let refused = world.authorize(order, amount, token).await.unwrap_err();
        assert_eq!((refused.kind, refused.reason.as_str()), (Kind::Invalid, "PAYMENT_INVALID_REQUEST"), "{order} {amount} {token}");
    }
}

#[tokio::test]
async fn an_unsigned_webhook_is_refused_with_a_problem_document() {
    let world = World::new().await;
    let url = format!("{}/webhooks/psp", world.service.lock().await.address());
    for signature in [None, Some("t=1,v1=00"), Some("nonsense")] {
        let mut request = world.http.post(&url).body("{}");
        if let Some(signature) = signature {
            request = request.header("Psp-Signature", signature);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 400);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert!(response.text().await.unwrap().contains("PAYMENT_WEBHOOK_SIGNATURE"));
    }
}
