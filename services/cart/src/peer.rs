//! What the cart service hears of its peer: what shoppers changed in the other region.

use async_trait::async_trait;
use crdt::codec::{Limits, Wire as _};
use ids::Sku;
use prost::Message as _;
use proto::events::cart::v1::{CartCheckedOut, CartDelta};
use spine::{Applied, Delivery, Handler, Refusal};
use sqlx::PgConnection;

use crate::{
    events::{CHECKED_OUT, DELTA},
    metrics,
    notices::Notices,
    store::{self, Told},
};

/// Name of the consumer group, in the other region's Kafka.
pub(crate) const GROUP: &str = "cart-peer";

/// What a cart may take: a hundred lines with all their dots need a tenth of it.
const LIMITS: Limits = Limits { bytes: 256 << 10, entries: 16 << 10, text: 64 };

/// Merges the other region's changes into this one's carts.
pub(crate) struct Peer(pub(crate) Notices);

#[async_trait]
impl Handler for Peer {
    fn wants(&self, kind: &str) -> bool {
        [DELTA, CHECKED_OUT].contains(&kind)
    }

    async fn apply_in(&self, tx: &mut PgConnection, delivery: &Delivery) -> Result<Applied, Refusal> {
        let applied = self.apply_all_in(tx, &[delivery]).await?;
        Ok(applied.into_iter().next().unwrap_or_default())
    }

    async fn apply_all_in(&self, tx: &mut PgConnection, deliveries: &[&Delivery]) -> Result<Vec<Applied>, Refusal> {
        let told = deliveries.iter().map(|delivery| read(delivery)).collect::<Result<_, _>>()?;
        let merged = store::merge_in(tx, told).await?;
        let notices = self.0.clone();
        Ok(vec![Applied::then(move || {
            metrics::count_merged(merged.len());
            merged.into_iter().for_each(|stand| notices.tell(stand));
        })])
    }
}

fn read(delivery: &Delivery) -> Result<Told, Refusal> {
    let poison = |error: &dyn std::fmt::Display| Refusal::Poison(format!("read {}: {error}", delivery.kind));
    let (cart_id, delta, order_id, answer) = if delivery.kind == CHECKED_OUT {
        let CartCheckedOut { cart_id, order_id, delta, .. } =
            CartCheckedOut::decode(delivery.payload.clone()).map_err(|error| poison(&error))?;
        (cart_id, delta, Some(order_id.parse().map_err(|error: ids::InvalidId| poison(&error))?), None)
    } else {
        let CartDelta { cart_id, delta, answer, .. } = CartDelta::decode(delivery.payload.clone()).map_err(|error| poison(&error))?;
        (cart_id, delta, None, answer)
    };
    let id = cart_id.parse().map_err(|error: ids::InvalidId| poison(&error))?;
    // Said by a service of before, which kept its carts to itself.
    let delta = if delta.is_empty() { crdt::Cart::new() } else { decode(&delta).map_err(|error| poison(&error))? };
    Ok(Told { id, delta, order_id, answer })
}

/// A state or a delta of the other region; else what is wrong with it.
pub(crate) fn decode(bytes: &[u8]) -> Result<crdt::Cart, String> {
    let cart = crdt::Cart::decode(bytes, LIMITS).map_err(|error| error.to_string())?;
    for (sku, _) in cart.lines() {
        sku.parse::<Sku>().map_err(|error| error.to_string())?;
    }
    Ok(cart)
}
