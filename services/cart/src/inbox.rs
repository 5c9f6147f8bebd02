//! What the cart service hears: orders that were placed.

use async_trait::async_trait;
use ids::{OrderId, SessionId, Sku};
use prost::Message as _;
use proto::events::order::v1::OrderPlaced;
use spine::{Delivery, Handler, Refusal, Wake};
use sqlx::PgPool;

use crate::{domain::Command, error::Error, metrics, store};

/// Name of this consumer in the inbox, and of its group.
pub(crate) const GROUP: &str = "cart";

/// Takes what was ordered out of the cart.
pub(crate) struct Orders {
    pub(crate) pool: PgPool,
    pub(crate) wake: Wake,
}

#[async_trait]
impl Handler for Orders {
    async fn handle(&self, delivery: &Delivery) -> Result<(), Refusal> {
        if delivery.kind != "order.placed" {
            return Ok(());
        }
        let (id, command) = read(delivery)?;
        let mut tx = self.pool.begin().await?;
        if !::store::inbox::is_first_in(&mut tx, GROUP, delivery.event_id).await? {
            return Ok(());
        }
        let changed = store::apply_in(&mut tx, id, command).await.map_err(|error| match error {
            Error::Refused(refusal) => Refusal::Poison(refusal.to_string()),
            error => Refusal::Later(std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)),
        })?;
        tx.commit().await?;
        if let Some(event) = &changed.event {
            metrics::count(event);
            self.wake.wake();
        }
        Ok(())
    }
}

fn read(delivery: &Delivery) -> Result<(SessionId, Command), Refusal> {
    let poison = |error: &dyn std::fmt::Display| Refusal::Poison(format!("read order.placed: {error}"));
    let placed = OrderPlaced::decode(delivery.payload.clone()).map_err(|error| poison(&error))?;
    let id: SessionId = placed.session_id.parse().map_err(|error: ids::InvalidId| poison(&error))?;
    let order_id: OrderId = placed.order_id.parse().map_err(|error: ids::InvalidId| poison(&error))?;
    let line = |line: proto::market::v1::PricedLine| Ok((line.sku.parse()?, line.quantity));
    let lines: Result<Vec<(Sku, u32)>, ids::InvalidId> = placed.lines.into_iter().map(line).collect();
    Ok((id, Command::CheckOut { order_id, lines: lines.map_err(|error| poison(&error))? }))
}
