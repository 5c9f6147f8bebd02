//! Parts are given back once each, and never more than was taken.

use futures::future::join_all;
use proto::payment::v1::PaymentState::{Captured, ChargedBack, Expired, Refunded};
use serde_json::json;

use super::{World, new_order};

#[tokio::test]
async fn parts_are_given_back_until_all_is() {
    let (world, order) = (World::new().await, new_order());
    world.authorize(&order, 1250, "tok_visa").await.unwrap();
    world.capture(&order).await.unwrap();
    for _ in 0..2 {
        let payment = world.refund_part(&order, "return-1", Some(500)).await.unwrap();
        assert_eq!((payment.state(), payment.refunded.unwrap().amount_minor, payment.refunds.len()), (Captured, 500, 1));
    }
    assert_eq!(world.balances().await, (750, -750));
    for (name, amount, reason) in [
        ("return-1", Some(501), "PAYMENT_KEY_REUSED"),
        ("return-2", Some(751), "PAYMENT_REFUND_TOO_LARGE"),
        ("", Some(1), "PAYMENT_NOT_FOUND"),
    ] {
        let order = if name.is_empty() { &new_order() } else { &order };
        assert_eq!(world.refund_part(order, name, amount).await.unwrap_err().reason, reason);
    }
    assert_eq!(world.refund_part(&order, "return-2", Some(250)).await.unwrap().state(), Captured);
    let payment = world.refund(&order).await.unwrap();
    assert_eq!((payment.state(), payment.refunded.unwrap().amount_minor), (Refunded, 1250));
    assert_eq!(world.refund(&order).await.unwrap().state(), Refunded, "a repeat changes nothing");
    let accounts = world.accounts().await;
    assert_eq!((accounts["psp_receivable"], accounts["sales"], accounts["refunds"]), (0, -1250, 1250));

    let expected =
        ["payment.authorized", "payment.captured", "payment.partially_refunded", "payment.partially_refunded", "payment.refunded"];
    assert_eq!(world.events_of(&order).await, expected);
    let charge = &world.charges(&order).await[0];
    let keys: Vec<_> = charge["refunds"].as_array().unwrap().iter().map(|refund| refund["idempotency_key"].as_str().unwrap()).collect();
    assert_eq!(keys, [format!("{order}/return-1"), format!("{order}/return-2"), format!("{order}/refund")]);
}

#[tokio::test]
async fn a_refund_by_a_bare_key_is_of_its_order_alone() {
    let world = World::new().await;
    for _ in 0..2 {
        let order = new_order();
        world.authorize(&order, 1000, "tok_visa").await.unwrap();
        world.capture(&order).await.unwrap();
        let request = proto::payment::v1::RefundRequest { order_id: order.clone(), idempotency_key: "r1".to_owned(), amount: None };
        let payment = world.client.clone().refund(request).await.unwrap().into_inner().payment.unwrap();
        assert_eq!(payment.refunds[0].idempotency_key, format!("{order}/r1"));
        assert_eq!(world.refund_part(&order, "r1", Some(1000)).await.unwrap().refunds.len(), 1, "the long name is the same refund");
    }
}

#[tokio::test]
async fn of_many_refunds_at_once_no_more_is_given_back_than_was_taken() {
    let (world, order) = (World::new().await, new_order());
    world.authorize(&order, 1000, "tok_visa").await.unwrap();
    world.capture(&order).await.unwrap();
    let names: Vec<String> = (0..24).map(|number| format!("r{}", number % 12)).collect();
    let answers = join_all(names.iter().map(|name| world.refund_part(&order, name, Some(130)))).await;
    for answer in answers.into_iter().filter_map(Result::err) {
        assert_eq!(answer.reason, "PAYMENT_REFUND_TOO_LARGE");
    }
    let payment = world.payment(&order).await.unwrap();
    assert_eq!(payment.refunded.unwrap().amount_minor, 7 * 130);
    assert_eq!(world.charges(&order).await[0]["refunded_minor"], json!(7 * 130));
    assert_eq!(world.balances().await, (90, -90));
}

#[tokio::test]
async fn what_happens_at_the_provider_is_followed() {
    let (world, order) = (World::new().await, new_order());
    let charge = world.authorize(&order, 1000, "tok_visa").await.unwrap().charge_id;
    world.capture(&order).await.unwrap();
    world.refund_part(&order, "r1", Some(300)).await.unwrap();
    world.at_provider(&charge, "chargeback").await;
    world.comes_to(&order, ChargedBack).await;
    let accounts = world.accounts().await;
    assert_eq!((accounts["psp_receivable"], accounts["refunds"], accounts["chargebacks"]), (0, 300, 700));
    for reason in [world.refund_part(&order, "r2", Some(1)).await.unwrap_err().reason, world.capture(&order).await.unwrap_err().reason] {
        assert_eq!(reason, "PAYMENT_CHARGED_BACK");
    }
    assert_eq!(world.refund_part(&order, "r1", Some(300)).await.unwrap().state(), ChargedBack, "a repeat finds its refund");

    let by_hand = new_order();
    let charge = world.authorize(&by_hand, 1000, "tok_visa").await.unwrap().charge_id;
    world.capture(&by_hand).await.unwrap();
    world.at_provider(&charge, "refund").await;
    let payment = world.comes_to(&by_hand, Refunded).await;
    assert_eq!(payment.refunds[0].idempotency_key, format!("desk/refund/{charge}"));
}

#[tokio::test]
async fn an_authorization_that_is_forgotten_ends() {
    let (world, order) = (World::new().await, new_order());
    world.set(json!({ "authorization_ttl_ms": 300 })).await;
    world.authorize(&order, 1000, "tok_visa").await.unwrap();
    world.comes_to(&order, Expired).await;
    assert_eq!(world.capture(&order).await.unwrap_err().reason, "PAYMENT_EXPIRED");
    assert_eq!(world.void(&order).await.unwrap().unwrap().state(), Expired, "there is nothing to void");
    assert_eq!(world.events_of(&order).await, ["payment.authorized", "payment.expired"]);
}
