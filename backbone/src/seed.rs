//! Puts the catalog into a region's inventory. A second time changes no stock: it is set only for items that are new.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::{StreamExt, TryStreamExt, stream};
use ids::Region;
use proto::{
    inventory::v1::{Item, PutItemRequest, inventory_service_client::InventoryServiceClient},
    market::v1::Money,
};

use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::{catalog, engine::Context, plan::Place};

/// A region may not hold its home for a moment, when a lease is renewed late as everything starts. The catalog waits so long for it.
const HELD_WITHIN: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(100);

/// Puts every item.
///
/// # Errors
/// When inventory refuses one, or does not take it in time.
pub async fn put(context: &Context, region: Region) -> Result<()> {
    let address = context.plan.ports.url(Place::In(region), "inventory");
    let deadline = Instant::now() + HELD_WITHIN;
    let client = InventoryServiceClient::connect(address).await.with_context(|| format!("connect to {region}'s inventory"))?;
    stream::iter(catalog::items())
        .map(Ok)
        .try_for_each_concurrent(8, |item| {
            let mut client = client.clone();
            async move {
                let request = request(&item, region);
                loop {
                    match client.put_item(request.clone()).await {
                        Err(status) if status.code() == Code::Unavailable && Instant::now() < deadline => sleep(PAUSE).await,
                        answer => return answer.map(drop).with_context(|| format!("put {}", item.sku)),
                    }
                }
            }
        })
        .await
}

fn request(item: &catalog::CatalogItem, region: Region) -> PutItemRequest {
    PutItemRequest {
        item: Some(Item {
            sku: item.sku.clone(),
            title: item.title.clone(),
            description: item.description.clone(),
            category: item.category.to_owned(),
            price: Some(Money { amount_minor: item.price_minor, currency: "EUR".to_owned() }),
            in_stock: 0,
        }),
        initial_stock: item.stock(region),
        idempotency_key: format!("catalog/{}", item.sku),
    }
}
