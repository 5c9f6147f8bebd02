//! What the order service hears: payments that change at the provider while a saga waits for the shopper's bank.

use async_trait::async_trait;
use ids::OrderId;
use spine::{Applied, Delivery, Handler, Refusal};
use sqlx::PgConnection;

use crate::{saga::Starter, store::sagas};

/// Name of this consumer in the inbox, and of its group.
pub(crate) const GROUP: &str = "order";

/// Wakes sagas that wait for their payment.
pub(crate) struct Payments {
    pub(crate) starter: Starter,
}

#[async_trait]
impl Handler for Payments {
    fn wants(&self, kind: &str) -> bool {
        kind == "payment.requires_action" || has_settled(kind)
    }

    async fn apply_in(&self, tx: &mut PgConnection, delivery: &Delivery) -> Result<Applied, Refusal> {
        let id: OrderId = delivery.key.parse().map_err(|error: ids::InvalidId| Refusal::Poison(error.to_string()))?;
        if !has_settled(&delivery.kind) {
            sagas::note_step_up_in(tx, id).await?;
        } else if sagas::end_step_up_in(tx, id).await? {
            // Signalled before the commit: a crash in between signals twice, which only makes the saga look twice.
            self.starter.payment_changed(id).await.map_err(Refusal::Later)?;
        }
        Ok(Applied::default())
    }
}

/// Whether the payment waits for the shopper no more.
fn has_settled(kind: &str) -> bool {
    matches!(kind, "payment.authorized" | "payment.declined" | "payment.voided")
}
