//! STOCK-1 from outside: two regions that sell from one stock.

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use serde_json::Value;
use uuid::Uuid;

use crate::market::{Market, print};

/// What a home has of a SKU.
async fn on_hand(market: &Market, home: &str, sku: &str) -> Result<i64> {
    let said = market.backbone(&["stock", "show", sku, "--json"]).await?;
    let stock: Value = serde_json::from_str(&said.text).with_context(|| format!("read {}", said.text))?;
    let of_home = stock.as_array().context("a list")?.iter().find(|row| row["home"] == home).context("the home's row")?;
    of_home["on_hand"].as_i64().context("a count")
}

pub(crate) async fn an_order_gets_units_that_the_other_region_has(market: &Market) -> Result<()> {
    let us = market.shop().await?.in_region("us");
    let items = us.get("/api/items?page_size=200").await?.good()?;
    let scarce = items["items"]
        .as_array()
        .context("items")?
        .iter()
        .find(|item| item["in_stock"].as_i64().is_some_and(|stock| (6..=34).contains(&stock)));
    let sku = scarce.and_then(|item| item["sku"].as_str()).context("a scarce item")?;
    let (here, there) = (on_hand(market, "us", sku).await?, on_hand(market, "eu", sku).await?);
    ensure!(there > 0, "eu has none of {sku}");
    us.put(sku, u32::try_from(here + 1)?).await?.good()?;
    let order = us.order("tok_visa", &Uuid::now_v7().to_string()).await?.good()?;
    us.shipped(order["order_id"].as_str().context("an order has an id")?).await?;

    // Twice as many shoppers as units, in both regions at once: every unit is sold, none twice.
    let left = on_hand(market, "eu", sku).await? + on_hand(market, "us", sku).await?;
    let shoppers = (0..2 * left + 4).map(|number| {
        let shop = us.in_region(if number % 2 == 0 { "eu" } else { "us" });
        async move {
            let order = shop.buy(sku, "tok_visa").await?;
            Ok::<_, anyhow::Error>(shop.ended(&order).await?["state"] == "shipped")
        }
    });
    let shipped = join_all(shoppers).await.into_iter().collect::<Result<Vec<bool>>>()?.into_iter().filter(|is_shipped| *is_shipped).count();
    print(&format!("{shipped} of the last {left} units of {sku} were sold"));
    ensure!(i64::try_from(shipped)? == left, "{shipped} of {left} units were sold");
    Ok(())
}

pub(crate) async fn an_operator_moves_units_once(market: &Market) -> Result<()> {
    let shop = market.shop().await?.in_region("eu");
    let sku = shop.any_sku().await?;
    let before = on_hand(market, "us", &sku).await?;
    let transfer = Uuid::now_v7().to_string();
    for _ in 0..2 {
        let said = market.backbone(&["stock", "move", &sku, "20", "--from", "eu", "--transfer-id", &transfer]).await?;
        ensure!(said.code == 0, "{said:?}");
    }
    let look = async || {
        let now = on_hand(market, "us", &sku).await.map_err(|error| error.to_string())?;
        if now >= before + 20 { Ok(()) } else { Err(format!("{now} and not {}", before + 20)) }
    };
    testkit::eventually("the units have come", std::time::Duration::from_secs(10), look).await;
    Ok(())
}
