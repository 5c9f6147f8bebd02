//! What the inventory service hears of its peer: what a home there wants, what it gave, and which orders of this region's home ended there. Each
//! transfer is made once, by its id. What was given is taken in when the giver's half is here, which the mirror brings (see [`crate::rights`]).

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use ids::{OrderId, Region, Sku};
use prost::Message as _;
use proto::events::inventory::v1::{OrderEnded, RightsMoved, RightsWanted};
use spine::{Applied, Delivery, Handler, Refusal};
use sqlx::PgConnection;

use crate::{
    domain::{Command, MAX_STOCK, rights::spare},
    error::Error,
    events::{self, ORDER_ENDED, RIGHTS_MOVED, RIGHTS_WANTED},
    inbox::{follow_in, refusal},
    metrics,
    rights::Rights,
    store::rights::{self as rows, Transfer},
};

/// Name of the consumer group, in the other region's Kafka.
pub(crate) const GROUP: &str = "inventory-peer";

/// Gives what is wanted and can be spared, and looks for what was given.
pub(crate) struct Peer {
    pub(crate) region: Region,
    pub(crate) rights: Rights,
}

/// A thing that the other region said.
enum Said {
    Wanted { transfer: Transfer, is_urgent: bool },
    Moved(Transfer),
    Ended { id: OrderId, command: Command },
}

#[async_trait]
impl Handler for Peer {
    fn wants(&self, kind: &str) -> bool {
        [RIGHTS_WANTED, RIGHTS_MOVED, ORDER_ENDED].contains(&kind)
    }

    async fn apply_in(&self, tx: &mut PgConnection, delivery: &Delivery) -> Result<Applied, Refusal> {
        let applied = self.apply_all_in(tx, &[delivery]).await?;
        Ok(applied.into_iter().next().unwrap_or_default())
    }

    async fn apply_all_in(&self, tx: &mut PgConnection, deliveries: &[&Delivery]) -> Result<Vec<Applied>, Refusal> {
        let said: Vec<Said> = deliveries.iter().map(|delivery| self.read(delivery)).collect::<Result<_, _>>()?;
        if let [Said::Ended { id, command }] = &said[..] {
            let ended = follow_in(tx, *id, self.region, command.clone(), false, ORDER_ENDED).await.map_err(refusal)?;
            return Ok(vec![Applied::then(move || metrics::count(&ended))]);
        }
        let wanted = said.iter().filter_map(|said| if let Said::Wanted { transfer, .. } = said { Some(transfer) } else { None });
        let skus: Vec<Sku> = wanted.map(|transfer| transfer.sku.clone()).collect::<BTreeSet<_>>().into_iter().collect();
        let held = rows::held_in(tx).await.map_err(refusal)?;
        let mut on_hand = rows::lock_in(tx, &held, &skus).await.map_err(refusal)?;
        let (mut given, mut coming) = (0, Vec::new());
        for said in said {
            match said {
                Said::Wanted { transfer, is_urgent } => {
                    given += self.give_in(tx, &mut on_hand, transfer, is_urgent, &held).await.map_err(refusal)?;
                }
                Said::Moved(transfer) if held.contains(&transfer.from.peer()) => {
                    coming.extend(rows::missing_in(tx, transfer.from.peer(), &[transfer.id]).await.map_err(refusal)?);
                }
                // Who holds that home takes it in.
                Said::Moved(_) => {}
                // An order's row is locked before any stock: alone, then.
                Said::Ended { .. } => return Err(Refusal::Later("an order's end is applied alone".to_owned())),
            }
        }
        let rights = self.rights.clone();
        Ok(vec![Applied::then(move || {
            metrics::count_moved(given, 0);
            rights.come(coming);
        })])
    }
}

impl Peer {
    /// Gives what can be spared; tells how much that is.
    async fn give_in(
        &self,
        tx: &mut PgConnection,
        on_hand: &mut BTreeMap<(Region, Sku), i64>,
        wanted: Transfer,
        is_urgent: bool,
        held: &[Region],
    ) -> Result<i64, Error> {
        if !held.contains(&wanted.from) {
            return Err(Error::Fenced);
        }
        let key = (wanted.from, wanted.sku.clone());
        let here = on_hand.get(&key).copied().unwrap_or(0);
        let quantity = spare(here, self.rights.need(&wanted.sku), wanted.quantity, is_urgent);
        let given = Transfer { quantity, ..wanted };
        if !rows::give_in(tx, &given, held).await? {
            return Ok(0);
        }
        if let Some(on_hand) = on_hand.get_mut(&key) {
            *on_hand -= quantity;
        }
        Ok(quantity)
    }

    fn read(&self, delivery: &Delivery) -> Result<Said, Refusal> {
        let payload = delivery.payload.clone();
        Ok(match delivery.kind.as_str() {
            RIGHTS_WANTED => {
                let RightsWanted { transfer_id, sku, quantity, is_urgent, home_region } = RightsWanted::decode(payload).map_err(poison)?;
                // They are wanted by the home of the region that says it, unless it says another.
                let to = events::home(home_region).map_err(poison)?.unwrap_or_else(|| self.region.peer());
                Said::Wanted { transfer: transfer(&transfer_id, to.peer(), &sku, quantity, 1)?, is_urgent }
            }
            RIGHTS_MOVED => {
                let RightsMoved { transfer_id, sku, quantity, home_region } = RightsMoved::decode(payload).map_err(poison)?;
                let to = events::home(home_region).map_err(poison)?.unwrap_or(self.region);
                Said::Moved(transfer(&transfer_id, to.peer(), &sku, quantity, 0)?)
            }
            _ => {
                let OrderEnded { order_id, is_shipped } = OrderEnded::decode(payload).map_err(poison)?;
                let command = if is_shipped { Command::Commit } else { Command::Release };
                Said::Ended { id: order_id.parse().map_err(poison)?, command }
            }
        })
    }
}

fn transfer(id: &str, from: Region, sku: &str, quantity: i64, least: i64) -> Result<Transfer, Refusal> {
    if !(least..=MAX_STOCK).contains(&quantity) {
        return Err(poison(format!("quantity must be {least} to {MAX_STOCK}, and is {quantity}")));
    }
    Ok(Transfer { id: id.parse().map_err(poison)?, from, sku: sku.parse().map_err(poison)?, quantity })
}

fn poison(error: impl std::fmt::Display) -> Refusal {
    Refusal::Poison(error.to_string())
}
