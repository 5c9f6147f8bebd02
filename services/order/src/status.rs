//! Tells open pages how their order stands: own events from Kafka, in order, to NATS subject `order.status.<order id>`.
//!
//! NATS keeps nothing and may lose a message; whoever listens reads the order itself now and then.

use std::time::Duration;

use async_trait::async_trait;
use prost::Message as _;
use proto::events::order::v1 as event;
use serde_json::json;
use spine::{Delivery, Listener, Refusal};

/// Name of the consumer group.
pub(crate) const GROUP: &str = "order-status";

const PATIENCE: Duration = Duration::from_millis(200);

/// Publishes statuses.
pub(crate) struct Statuses {
    pub(crate) nats: async_nats::Client,
}

fn status(delivery: &Delivery) -> Result<Option<(&'static str, u64)>, prost::DecodeError> {
    let payload = delivery.payload.clone();
    Ok(Some(match delivery.kind.as_str() {
        "order.placed" => ("placed", event::OrderPlaced::decode(payload)?.version),
        "order.confirmed" => ("confirmed", event::OrderConfirmed::decode(payload)?.version),
        "order.shipped" => ("shipped", event::OrderShipped::decode(payload)?.version),
        "order.returned" => ("returned", event::OrderReturned::decode(payload)?.version),
        "order.cancelled" => ("cancelled", event::OrderCancelled::decode(payload)?.version),
        _ => return Ok(None),
    }))
}

#[async_trait]
impl Listener for Statuses {
    async fn hear(&self, delivery: &Delivery) -> Result<(), Refusal> {
        let Some((state, version)) = status(delivery).map_err(|error| Refusal::Poison(error.to_string()))? else { return Ok(()) };
        let message = json!({ "order_id": delivery.key, "state": state, "version": version }).to_string();
        // While NATS is away its client takes messages only until its queue is full.
        let told = tokio::time::timeout(PATIENCE, self.nats.publish(format!("order.status.{}", delivery.key), message.into())).await;
        if !matches!(told, Ok(Ok(()))) {
            tracing::debug!(order.id = delivery.key, "status not told");
        }
        Ok(())
    }
}
