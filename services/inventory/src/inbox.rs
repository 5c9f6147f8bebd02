//! What the inventory service hears: how orders end.

use ::config::Checkout;
use async_trait::async_trait;
use ids::OrderId;
use spine::{Applied, Delivery, Handler, Refusal};
use sqlx::PgConnection;

use crate::{
    domain::{self, Command},
    error::Error,
    metrics,
    store::reservations,
};

/// Name of this consumer in the inbox, and of its group.
pub(crate) const GROUP: &str = "inventory";

/// Ends the reservation of an order that ended.
pub(crate) struct Orders {
    pub(crate) checkout: Checkout,
}

#[async_trait]
impl Handler for Orders {
    fn wants(&self, kind: &str) -> bool {
        command(kind).is_some()
    }

    fn most(&self) -> usize {
        1
    }

    async fn apply_in(&self, tx: &mut PgConnection, delivery: &Delivery) -> Result<Applied, Refusal> {
        let Some(command) = command(&delivery.kind) else { return Ok(Applied::default()) };
        let id: OrderId = delivery.key.parse().map_err(|error: ids::InvalidId| Refusal::Poison(error.to_string()))?;
        // A refusal leaves nothing behind, so the inbox row can still commit: an order that ended cannot be argued with.
        let events = match reservations::apply_in(tx, id, command).await {
            Ok(applied) => applied.events,
            // The sale is prepared, and its decision on the way.
            Err(Error::Refused(domain::Refusal::Missing)) if self.checkout == Checkout::TwoPhase => Vec::new(),
            Err(Error::Refused(refusal)) => {
                tracing::error!(%refusal, order.id = %id, event = delivery.kind, "the reservation cannot follow its order");
                metrics::count_unexpected(&delivery.kind);
                Vec::new()
            }
            Err(Error::Database(error)) => return Err(error.into()),
            Err(error) => return Err(Refusal::Failed(cause(&error))),
        };
        Ok(Applied::then(move || metrics::count(&events)))
    }
}

/// What an order's end means for its reservation.
fn command(kind: &str) -> Option<Command> {
    match kind {
        "order.shipped" => Some(Command::Commit),
        "order.cancelled" => Some(Command::Release),
        _ => None,
    }
}

pub(crate) fn cause(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
