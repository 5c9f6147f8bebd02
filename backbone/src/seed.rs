//! Puts the catalog into a region's inventory. A second time changes no stock: it is set only for items that are new.

use anyhow::{Context as _, Result};
use futures::{StreamExt, TryStreamExt, stream};
use ids::Region;
use proto::{
    inventory::v1::{Item, PutItemRequest, inventory_service_client::InventoryServiceClient},
    market::v1::Money,
};

use crate::{catalog, engine::Context, plan::Place};

/// Puts every item.
///
/// # Errors
/// When inventory refuses one.
pub async fn put(context: &Context, region: Region) -> Result<()> {
    let address = context.plan.ports.url(Place::In(region), "inventory");
    let client = InventoryServiceClient::connect(address).await.with_context(|| format!("connect to {region}'s inventory"))?;
    stream::iter(catalog::items())
        .map(Ok)
        .try_for_each_concurrent(8, |item| {
            let mut client = client.clone();
            async move {
                let request = request(&item, region);
                client.put_item(request).await.with_context(|| format!("put {}", item.sku))?;
                Ok(())
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
