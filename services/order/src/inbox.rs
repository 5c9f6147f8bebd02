//! What the order service hears: payments that change at the provider while a saga waits for the shopper's bank.

use async_trait::async_trait;
use ids::OrderId;
use spine::{Delivery, Handler, Refusal};
use sqlx::PgPool;

use crate::{saga::Starter, store};

/// Name of this consumer in the inbox, and of its group.
pub(crate) const GROUP: &str = "order";

/// Wakes sagas that wait for their payment.
pub(crate) struct Payments {
    pub(crate) pool: PgPool,
    pub(crate) starter: Starter,
}

#[async_trait]
impl Handler for Payments {
    async fn handle(&self, delivery: &Delivery) -> Result<(), Refusal> {
        let id: OrderId = delivery.key.parse().map_err(|error: ids::InvalidId| Refusal::Poison(error.to_string()))?;
        let mut tx = self.pool.begin().await?;
        if !::store::inbox::is_first_in(&mut tx, GROUP, delivery.event_id).await? {
            return Ok(());
        }
        let has_settled = matches!(delivery.kind.as_str(), "payment.authorized" | "payment.declined" | "payment.voided");
        if delivery.kind == "payment.requires_action" {
            store::note_step_up_in(&mut tx, id).await?;
        } else if has_settled && store::end_step_up_in(&mut tx, id).await? {
            // Signalled before the commit: a crash in between signals twice, which only makes the saga look twice.
            self.starter.payment_changed(id).await.map_err(Refusal::Later)?;
        }
        tx.commit().await?;
        Ok(())
    }
}
