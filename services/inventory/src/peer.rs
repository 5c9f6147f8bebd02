//! What the inventory service hears of its peer: what that region wants, and what it gave. Each transfer is made once, by its id.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use ids::Sku;
use prost::Message as _;
use proto::events::inventory::v1::{RightsMoved, RightsWanted};
use spine::{Applied, Delivery, Handler, Refusal};
use sqlx::PgConnection;

use crate::{
    domain::{MAX_STOCK, rights::spare},
    error::Error,
    events::{RIGHTS_MOVED, RIGHTS_WANTED},
    inbox::cause,
    metrics,
    rights::Rights,
    store::rights::{self as rows, Transfer},
};

/// Name of the consumer group, in the other region's Kafka.
pub(crate) const GROUP: &str = "inventory-peer";

/// Gives what is wanted and can be spared, and takes in what was given.
pub(crate) struct Peer(pub(crate) Rights);

/// A thing that the other region said.
struct Said {
    transfer: Transfer,
    what: What,
}

enum What {
    Wanted { is_urgent: bool },
    Moved,
}

#[async_trait]
impl Handler for Peer {
    fn wants(&self, kind: &str) -> bool {
        [RIGHTS_WANTED, RIGHTS_MOVED].contains(&kind)
    }

    async fn apply_in(&self, tx: &mut PgConnection, delivery: &Delivery) -> Result<Applied, Refusal> {
        let applied = self.apply_all_in(tx, &[delivery]).await?;
        Ok(applied.into_iter().next().unwrap_or_default())
    }

    async fn apply_all_in(&self, tx: &mut PgConnection, deliveries: &[&Delivery]) -> Result<Vec<Applied>, Refusal> {
        let said: Vec<Said> = deliveries.iter().map(|delivery| read(delivery)).collect::<Result<_, _>>()?;
        let (mut given, mut taken) = (0, 0);
        let skus: Vec<Sku> = said.iter().map(|said| said.transfer.sku.clone()).collect::<BTreeSet<_>>().into_iter().collect();
        let mut on_hand = rows::lock_in(tx, &skus).await.map_err(refusal)?;
        for Said { transfer, what } in said {
            match what {
                What::Wanted { is_urgent } => given += self.give_in(tx, &mut on_hand, transfer, is_urgent).await.map_err(refusal)?,
                What::Moved => {
                    let Some(on_hand) = on_hand.get_mut(&transfer.sku) else {
                        return Err(Refusal::Failed(format!("{} is not in this region's catalog yet", transfer.sku)));
                    };
                    if rows::take_in(tx, &transfer).await.map_err(refusal)? {
                        *on_hand += transfer.quantity;
                        taken += transfer.quantity;
                    }
                }
            }
        }
        let rights = self.0.clone();
        Ok(vec![Applied::then(move || {
            metrics::count_moved(given, taken);
            rights.arrived();
        })])
    }
}

impl Peer {
    /// Gives what can be spared; tells how much that is.
    async fn give_in(
        &self,
        tx: &mut PgConnection,
        on_hand: &mut BTreeMap<Sku, i64>,
        wanted: Transfer,
        is_urgent: bool,
    ) -> Result<i64, Error> {
        let here = on_hand.get(&wanted.sku).copied().unwrap_or(0);
        let quantity = spare(here, self.0.need(&wanted.sku), wanted.quantity, is_urgent);
        let given = Transfer { quantity, ..wanted };
        if !rows::give_in(tx, &given).await? {
            return Ok(0);
        }
        if let Some(on_hand) = on_hand.get_mut(&given.sku) {
            *on_hand -= quantity;
        }
        Ok(quantity)
    }
}

fn read(delivery: &Delivery) -> Result<Said, Refusal> {
    if delivery.kind == RIGHTS_WANTED {
        let RightsWanted { transfer_id, sku, quantity, is_urgent } = RightsWanted::decode(delivery.payload.clone()).map_err(poison)?;
        Ok(Said { transfer: transfer(&transfer_id, &sku, quantity, 1)?, what: What::Wanted { is_urgent } })
    } else {
        let RightsMoved { transfer_id, sku, quantity } = RightsMoved::decode(delivery.payload.clone()).map_err(poison)?;
        Ok(Said { transfer: transfer(&transfer_id, &sku, quantity, 0)?, what: What::Moved })
    }
}

fn transfer(id: &str, sku: &str, quantity: i64, least: i64) -> Result<Transfer, Refusal> {
    if !(least..=MAX_STOCK).contains(&quantity) {
        return Err(poison(format!("quantity must be {least} to {MAX_STOCK}, and is {quantity}")));
    }
    Ok(Transfer { id: id.parse().map_err(poison)?, sku: sku.parse().map_err(poison)?, quantity })
}

fn poison(error: impl std::fmt::Display) -> Refusal {
    Refusal::Poison(error.to_string())
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::Database(error) => error.into(),
        error => Refusal::Failed(cause(&error)),
    }
}
