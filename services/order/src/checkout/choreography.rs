//! What the order service does when orders are checked out by events alone: it hears what became of the stock and of the payment.

use async_trait::async_trait;
use ids::OrderId;
use prost::Message as _;
use proto::events::inventory::v1::ReservationRefused;
use spine::{Applied, Delivery, Handler, Refusal};
use sqlx::PgConnection;

use crate::{
    domain::Command,
    error::Error,
    metrics,
    store::{self, Changes},
};

/// Name of this consumer in the inbox, and of its group.
pub(crate) const GROUP: &str = "order-choreography";

/// Moves orders by what the other services say.
pub(crate) struct Steps;

#[async_trait]
impl Handler for Steps {
    fn wants(&self, kind: &str) -> bool {
        kind == "inventory.refused" || kind == "payment.captured" || refusal(kind).is_some()
    }

    async fn apply_in(&self, tx: &mut PgConnection, delivery: &Delivery) -> Result<Applied, Refusal> {
        let id: OrderId = delivery.key.parse().map_err(poison)?;
        let commands = match (delivery.kind.as_str(), refusal(&delivery.kind)) {
            ("payment.captured", _) => vec![Command::Confirm, Command::Ship],
            (_, Some(reason)) => vec![Command::Cancel { reason: reason.to_owned() }],
            _ => vec![Command::Cancel { reason: ReservationRefused::decode(delivery.payload.as_ref()).map_err(poison)?.reason }],
        };
        let Changes(states) = store::apply_in(tx, id, commands).await.map_err(|error| match error {
            Error::Refused(refusal) => Refusal::Poison(refusal.to_string()),
            error => Refusal::Later(error.to_string()),
        })?;
        Ok(Applied::then(move || states.into_iter().for_each(metrics::count)))
    }
}

fn poison(error: impl std::fmt::Display) -> Refusal {
    Refusal::Poison(error.to_string())
}

/// Why an order ends whose payment came to this.
fn refusal(kind: &str) -> Option<&'static str> {
    match kind {
        "payment.declined" => Some("PAYMENT_DECLINED"),
        "payment.voided" => Some("PAYMENT_VOIDED"),
        "payment.expired" => Some("PAYMENT_EXPIRED"),
        _ => None,
    }
}
