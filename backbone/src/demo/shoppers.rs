//! Gentle shoppers: in each region one looks at an item every second and buys one every ten.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::join;
use ids::Region;
use tokio::time::{MissedTickBehavior, interval};

use super::{SHIPPED_WITHIN, shop::Shop};
use crate::output::{line, seconds};

/// Shops for ever. What goes wrong is shown and does not end it: breaking things is what the demo is for.
pub(super) async fn run(shop: &Shop) -> Result<()> {
    join(region(shop, Region::Eu), region(shop, Region::Us)).await;
    Ok(())
}

async fn region(shop: &Shop, region: Region) {
    join(browse(shop, region), buy(shop, region)).await;
}

async fn browse(shop: &Shop, region: Region) {
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sku = None;
    for count in 0_u64.. {
        tick.tick().await;
        if count % 10 == 0 {
            sku = shop.any_sku(region).await.ok();
        } else if let Some(sku) = &sku
            && let Err(error) = shop.look_at(region, sku).await
        {
            line(format_args!("  {region}  could not look at {sku}: {error:#}"));
        }
    }
}

async fn buy(shop: &Shop, region: Region) {
    let session = format!("shopper-{region}");
    let mut tick = interval(Duration::from_secs(10));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let begun = Instant::now();
        let bought = async {
            let sku = shop.any_sku(region).await?;
            let id = shop.order(region, &session, &sku).await?;
            let state = shop.until_final(region, &session, &id, SHIPPED_WITHIN).await?;
            anyhow::Ok(format!("{id}  {sku} {state} in {}", seconds(begun.elapsed())))
        };
        match bought.await {
            Ok(text) => line(format_args!("  {region}  {text}")),
            Err(error) => line(format_args!("  {region}  an order did not go through: {error:#}")),
        }
    }
}
