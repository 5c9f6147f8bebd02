//! What the cart service hears of orders: what was ordered leaves the cart.

use async_trait::async_trait;
use ids::{OrderId, SessionId, Sku};
use prost::Message as _;
use proto::events::order::v1::OrderPlaced;
use spine::{Applied, Delivery, Handler, Refusal};
use sqlx::PgConnection;

use crate::{
    metrics,
    notices::Notices,
    store::{Bought, Carts},
};

/// Name of the consumer group.
pub(crate) const GROUP: &str = "cart";

/// Takes what was ordered out of the cart, if the shop has not done so at once.
pub(crate) struct Orders {
    pub(crate) carts: Carts,
    pub(crate) notices: Notices,
}

#[async_trait]
impl Handler for Orders {
    fn wants(&self, kind: &str) -> bool {
        kind == "order.placed"
    }

    async fn apply_in(&self, tx: &mut PgConnection, delivery: &Delivery) -> Result<Applied, Refusal> {
        let applied = self.apply_all_in(tx, &[delivery]).await?;
        Ok(applied.into_iter().next().unwrap_or_default())
    }

    async fn apply_all_in(&self, tx: &mut PgConnection, deliveries: &[&Delivery]) -> Result<Vec<Applied>, Refusal> {
        let bought = deliveries.iter().map(|delivery| read(delivery)).collect::<Result<_, _>>()?;
        let left = self.carts.check_out_all_in(tx, bought).await?;
        let told = left.into_iter().map(|(stand, event)| {
            let notices = self.notices.clone();
            Applied::then(move || {
                metrics::count(&event);
                notices.tell(stand);
            })
        });
        Ok(told.collect())
    }
}

fn read(delivery: &Delivery) -> Result<Bought, Refusal> {
    let poison = |error: &dyn std::fmt::Display| Refusal::Poison(format!("read order.placed: {error}"));
    let placed = OrderPlaced::decode(delivery.payload.clone()).map_err(|error| poison(&error))?;
    let id: SessionId = placed.session_id.parse().map_err(|error: ids::InvalidId| poison(&error))?;
    let order_id: OrderId = placed.order_id.parse().map_err(|error: ids::InvalidId| poison(&error))?;
    let line = |line: proto::market::v1::PricedLine| Ok((line.sku.parse()?, line.quantity));
    let lines: Result<Vec<(Sku, u32)>, ids::InvalidId> = placed.lines.into_iter().map(line).collect();
    Ok(Bought { id, order_id, lines: lines.map_err(|error| poison(&error))? })
}
