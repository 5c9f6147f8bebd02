//! What the inventory service hears: how orders end.

use async_trait::async_trait;
use ids::OrderId;
use spine::{Delivery, Handler, Refusal, Wake};
use sqlx::PgPool;

use crate::{domain::Command, error::Error, metrics, store::reservations};

/// Name of this consumer in the inbox, and of its group.
pub(crate) const GROUP: &str = "inventory";

/// Ends the reservation of an order that ended.
pub(crate) struct Orders {
    pub(crate) pool: PgPool,
    pub(crate) wake: Wake,
}

#[async_trait]
impl Handler for Orders {
    async fn handle(&self, delivery: &Delivery) -> Result<(), Refusal> {
        let command = match delivery.kind.as_str() {
            "order.shipped" => Command::Commit,
            "order.cancelled" => Command::Release,
            _ => return Ok(()),
        };
        let id: OrderId = delivery.key.parse().map_err(|error: ids::InvalidId| Refusal::Poison(error.to_string()))?;
        let mut tx = self.pool.begin().await?;
        if !::store::inbox::is_first_in(&mut tx, GROUP, delivery.event_id).await? {
            return Ok(());
        }
        // A refusal leaves nothing behind, so the inbox row can still commit: an order that ended cannot be argued with.
        let events = match reservations::apply_in(&mut tx, id, command).await {
            Ok(applied) => applied.events,
            Err(Error::Refused(refusal)) => {
                tracing::error!(%refusal, order.id = %id, event = delivery.kind, "the reservation cannot follow its order");
                metrics::count_unexpected(&delivery.kind);
                Vec::new()
            }
            Err(error) => return Err(Refusal::Later(cause(&error))),
        };
        tx.commit().await?;
        metrics::count(&events);
        self.wake.wake();
        Ok(())
    }
}

fn cause(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
