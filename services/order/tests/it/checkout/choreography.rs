//! Events alone: whatever comes twice, late or in another order among the keys, each order ends once.

use spine::topics::{INVENTORY_EVENTS, ORDER_EVENTS, PAYMENT_EVENTS};
use testkit::Kafka;

use crate::market::{Market, STOCK};

#[tokio::test]
async fn every_order_ends_once_with_every_event_twice_and_every_service_killed() {
    let kafka = Kafka::start().await;
    let mut market = Market::checked_out_by("choreography", &kafka.address()).await;
    let mut orders = Vec::new();
    let too_many = u32::try_from(STOCK).unwrap() + 1;
    for _ in 0..2 {
        orders.push((market.ordered("tok_visa", 2).await, ""));
        orders.push((market.ordered("tok_decline", 2).await, "PAYMENT_DECLINED"));
        orders.push((market.ordered("tok_visa", too_many).await, "INVENTORY_OUT_OF_STOCK"));
        market.kill_and_restart_all().await;
    }
    for (order, reason) in &orders {
        market.ends_well(order, reason).await;
    }
    let refused = market.cancel(&orders[0].0, "c").await.unwrap_err();
    assert_eq!(refused.reason, "ORDER_TOO_LATE_TO_CANCEL", "whoever has heard of an order goes on with it");

    for topic in [ORDER_EVENTS, INVENTORY_EVENTS, PAYMENT_EVENTS] {
        kafka.repeat_by_key_backwards(topic).await;
    }
    // When an order that comes after them has ended, they all have been heard.
    for (order, reason) in &[(market.ordered("tok_visa", 1).await, ""), (market.ordered("tok_decline", 1).await, "PAYMENT_DECLINED")] {
        market.ends_well(order, reason).await;
    }
    for (order, reason) in &orders {
        market.ends_well(order, reason).await;
        let end = if reason.is_empty() {
            &["order.placed", "order.confirmed", "order.shipped"][..]
        } else {
            &["order.placed", "order.cancelled"]
        };
        assert_eq!(market.events(order).await, end);
    }
}
