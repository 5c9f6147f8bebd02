//! What the inventory service does when orders are checked out by events alone: it hears of an order, holds its units, and says so.

use async_trait::async_trait;
use ids::{OrderId, Region};
use prost::Message as _;
use proto::events::{
    inventory::v1::{AwaitsPayment, ReservationRefused},
    order::v1::OrderPlaced,
};
use spine::{Applied, Delivery, Handler, Refusal};
use sqlx::PgConnection;
use store::outbox;

use crate::{
    domain::{Command, Lines},
    error::Error,
    events,
    inbox::refusal,
    metrics,
    store::reservations,
};

/// Name of this consumer in the inbox, and of its group.
pub(crate) const GROUP: &str = "inventory-choreography";

/// Reserves what was ordered. Orders that do not say their home are of this region's.
pub(crate) struct Placed(pub(crate) Region);

#[async_trait]
impl Handler for Placed {
    fn wants(&self, kind: &str) -> bool {
        kind == "order.placed"
    }

    fn most(&self) -> usize {
        1
    }

    async fn apply_in(&self, tx: &mut PgConnection, delivery: &Delivery) -> Result<Applied, Refusal> {
        let placed = OrderPlaced::decode(delivery.payload.as_ref()).map_err(poison)?;
        let id: OrderId = placed.order_id.parse().map_err(poison)?;
        let lines = placed.lines.iter().map(|line| Ok((line.sku.parse().map_err(poison)?, line.quantity)));
        let lines = Lines::requested(lines.collect::<Result<_, Refusal>>()?).map_err(poison)?;
        let home = events::home(placed.home_region).map_err(poison)?.unwrap_or(self.0);
        let (next, events) = match reservations::apply_or_refuse_in(tx, id, home, Command::Reserve(lines)).await {
            Ok(applied) => (awaits_payment(placed), applied.events),
            Err(error @ Error::Refused(_)) => (refused(placed, error.reason()), Vec::new()),
            Err(error) => return Err(refusal(error)),
        };
        outbox::append_in(tx, &next, Some(home)).await?;
        Ok(Applied::then(move || metrics::count(&events)))
    }
}

fn poison(error: impl std::fmt::Display) -> Refusal {
    Refusal::Poison(error.to_string())
}

fn awaits_payment(placed: OrderPlaced) -> outbox::Event {
    let OrderPlaced { order_id, total, payment_token, .. } = placed;
    let payload = AwaitsPayment { order_id: order_id.clone(), total, payment_token }.encode_to_vec();
    said(order_id, "inventory.awaits_payment", payload)
}

fn refused(placed: OrderPlaced, reason: &str) -> outbox::Event {
    let order_id = placed.order_id;
    let payload = ReservationRefused { order_id: order_id.clone(), reason: reason.to_owned() }.encode_to_vec();
    said(order_id, "inventory.refused", payload)
}

fn said(order_id: String, kind: &'static str, payload: Vec<u8>) -> outbox::Event {
    outbox::Event { id: uuid::Uuid::now_v7(), topic: spine::topics::INVENTORY_EVENTS, key: order_id, kind, payload }
}
