//! Events as JSON, by the descriptors of the contract.

use anyhow::{Context as _, Result};
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;

/// The messages of the contract.
#[derive(Debug)]
pub(super) struct Messages(DescriptorPool);

impl Messages {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(DescriptorPool::decode(proto::DESCRIPTORS).context("read the contract's descriptors")?))
    }

    /// The payload of an event of this kind; `None` when it cannot be read as one.
    pub(super) fn json(&self, kind: &str, payload: &[u8]) -> Option<Value> {
        let message = self.0.get_message_by_name(&name(kind)?)?;
        let message = DynamicMessage::decode(message, payload).ok()?;
        serde_json::to_value(message).ok()
    }
}

/// `order.placed` is `events.order.v1.OrderPlaced`; payments, reservations and items have one message for all their events, and what else
/// the inventory service says is named without it.
fn name(kind: &str) -> Option<String> {
    let (service, what) = kind.split_once('.')?;
    let message = match (service, what) {
        ("payment", _) => "PaymentChanged".to_owned(),
        ("inventory", "item") => "ItemChanged".to_owned(),
        ("inventory", "reserved" | "committed" | "released") => "ReservationChanged".to_owned(),
        ("inventory", "refused") => "ReservationRefused".to_owned(),
        ("inventory", _) => camel(what),
        _ => camel(service) + &camel(what),
    };
    Some(format!("events.{service}.v1.{message}"))
}

fn camel(snake: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    snake.split('_').map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_event_has_its_message() {
        let messages = Messages::new().unwrap();
        let kinds = [
            "order.placed",
            "order.confirmed",
            "order.shipped",
            "order.returned",
            "order.cancelled",
            "cart.checked_out",
            "cart.delta",
            "inventory.item",
            "inventory.reserved",
            "inventory.committed",
            "inventory.released",
            "inventory.refused",
            "inventory.awaits_payment",
            "inventory.rights_wanted",
            "inventory.rights_moved",
            "inventory.order_ended",
            "payment.captured",
            "payment.requires_action",
        ];
        for kind in kinds {
            assert!(messages.json(kind, &[]).is_some(), "{kind}");
        }
        assert!(messages.json("order.nonsense", &[]).is_none());
        assert!(messages.json("order.placed", &[0xff]).is_none());
    }
}
