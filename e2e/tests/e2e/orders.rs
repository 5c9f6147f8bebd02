//! Orders through the shop's API, and what the payment provider says of them.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::{join_all, try_join_all};
use reqwest::{Method, StatusCode};
use testkit::eventually;

use crate::{
    market::Market,
    shop::Shop,
    tools::{self, Item},
};

const SEEN_WITHIN: Duration = Duration::from_secs(20);

pub(crate) async fn an_order_is_shipped_and_read_in_both_regions(market: &Market) -> Result<()> {
    let (shop, psp) = (market.shop().await?, market.process("global", "psp").await?.port);
    for (home, other) in [("eu", "us"), ("us", "eu")] {
        let here = shop.in_region(home);
        let sku = here.any_sku().await?;
        let id = here.buy(&sku, "tok_visa").await?;
        let order = here.shipped(&id).await?;
        ensure!(order["home_region"] == home && order["lines"][0]["sku"] == sku.as_str(), "{order}");
        let there = shop.in_region(other);
        let seen = eventually(&format!("{other} sees the order of {home}"), SEEN_WITHIN, async || there.shipped_now(&id).await).await;
        ensure!(seen == order, "both regions say the same: {seen} {order}");
        let charges = here.charges(psp, &id).await?;
        ensure!(charges.len() == 1 && charges[0]["state"] == "captured", "{charges:?}");
        ensure!(charges[0]["amount_minor"] == order["total"]["amount_minor"] && charges[0]["currency"] == order["total"]["currency"]);
        ensure!(charges[0]["order_id"] == id.as_str() && charges[0]["idempotency_key"].is_string(), "{charges:?}");
    }
    Ok(())
}

impl Shop {
    /// The order as it stands, if it is shipped.
    async fn shipped_now(&self, id: &str) -> Result<serde_json::Value> {
        let answer = self.get(&format!("/api/orders/{id}")).await?;
        if answer.body["state"] == "shipped" { Ok(answer.body) } else { bail!("{answer:?}") }
    }
}

pub(crate) async fn the_same_shop_answers_at_each_region(market: &Market) -> Result<()> {
    for region in ["eu", "us"] {
        let door = market.door(region).await?;
        let id = door.buy(&door.any_sku().await?, "tok_mastercard").await?;
        ensure!(door.shipped(&id).await?["home_region"] == region);
        let openapi = door.get("/api/openapi.json").await?.good()?;
        ensure!(openapi["paths"]["/api/orders"]["post"].is_object(), "the API is described");
    }
    let served = market.shop().await?.in_region("us").get("/api/items").await?.served_by;
    ensure!(served == "us", "X-Served-By: {served}");
    Ok(())
}

pub(crate) async fn a_step_up_is_waited_for(market: &Market) -> Result<()> {
    let (shop, psp) = (market.shop().await?, market.process("global", "psp").await?.port);
    let id = shop.buy(&shop.any_sku().await?, "tok_3ds").await?;
    shop.shipped(&id).await?;
    let charges = shop.charges(psp, &id).await?;
    ensure!(charges.len() == 1 && charges[0]["state"] == "captured", "{charges:?}");
    Ok(())
}

pub(crate) async fn a_declined_card_cancels_and_gives_the_stock_back(market: &Market) -> Result<()> {
    let (shop, psp) = (market.shop().await?.in_region("eu"), market.process("global", "psp").await?.port);
    let item = tools::new_item(market, "eu", 7).await?;
    let id = shop.buy(&item.sku, "tok_decline").await?;
    let order = shop.ended(&id).await?;
    ensure!(order["state"] == "cancelled" && order["cancel_reason"] == "PAYMENT_DECLINED", "{order}");
    ensure!(shop.charges(psp, &id).await?.is_empty(), "nothing was charged");
    ensure!(shop.in_stock(&item.sku).await? == 7, "the stock is back");
    Ok(())
}

pub(crate) async fn one_key_is_one_order_and_one_charge(market: &Market) -> Result<()> {
    let (shop, psp) = (market.shop().await?, market.process("global", "psp").await?.port);
    let sku = shop.any_sku().await?;
    shop.put(&sku, 2).await?.good()?;
    let key = uuid::Uuid::now_v7().to_string();
    let answers = join_all((0..12).map(|_| shop.order("tok_visa", &key))).await;
    let mut ids = BTreeSet::new();
    for answer in answers {
        let answer = answer?;
        ensure!(answer.status == StatusCode::CREATED, "{answer:?}");
        ids.insert(answer.body["order_id"].as_str().context("an id")?.to_owned());
    }
    ensure!(ids.len() == 1, "{ids:?}");
    let id = ids.into_iter().next().context("one id")?;
    ensure!(shop.shipped(&id).await?["lines"][0]["quantity"] == 2);
    let again = shop.order("tok_visa", &key).await?;
    ensure!(again.status == StatusCode::CREATED && again.body["order_id"] == id.as_str(), "also when all is done: {again:?}");
    let other = shop.order("tok_mastercard", &key).await?;
    ensure!(other.status == StatusCode::CONFLICT && other.reason() == "ORDER_KEY_REUSED", "{other:?}");
    ensure!(shop.charges(psp, &id).await?.len() == 1);
    Ok(())
}

pub(crate) async fn scarce_stock_is_sold_once(market: &Market) -> Result<()> {
    const STOCK: i64 = 5;
    let shop = market.shop().await?.in_region("us");
    let item = tools::new_item(market, "us", STOCK).await?;
    let buyers: Vec<_> = (0..20).map(|_| shop.newcomer()).collect();
    let ids = try_join_all(buyers.iter().map(|buyer| buyer.buy(&item.sku, "tok_visa"))).await?;
    let orders = try_join_all(ids.iter().map(|id| shop.ended(id))).await?;
    let shipped = orders.iter().filter(|order| order["state"] == "shipped").count();
    ensure!(i64::try_from(shipped)? == STOCK, "{shipped} of {STOCK} were sold");
    let others = orders.iter().filter(|order| order["state"] == "cancelled" && order["cancel_reason"] == "INVENTORY_OUT_OF_STOCK").count();
    ensure!(others + shipped == orders.len(), "{orders:?}");
    ensure!(shop.in_stock(&item.sku).await? == 0);
    Ok(())
}

pub(crate) async fn search_finds_what_was_put_into_the_catalog(market: &Market) -> Result<()> {
    let Item { sku, title } = tools::new_item(market, "eu", 3).await?;
    let shop = market.shop().await?.in_region("eu");
    let word = title.split_whitespace().next_back().context("a word")?;
    let find = async || {
        let found = shop.get(&format!("/api/items?q={word}")).await?.good()?;
        match found["items"].as_array() {
            Some(items) if items.len() == 1 && items[0]["sku"] == sku.as_str() => Ok(()),
            _ => bail!("{found}"),
        }
    };
    eventually("search finds the new item", SEEN_WITHIN, find).await;
    let mut token = String::new();
    let mut skus = BTreeSet::new();
    loop {
        let page = shop.get(&format!("/api/items?page_size=64&page_token={token}")).await?.good()?;
        for item in page["items"].as_array().context("items")? {
            ensure!(skus.insert(item["sku"].to_string()), "{} is on two pages", item["sku"]);
            ensure!(item["price"]["amount_minor"].is_i64() && item["title"].is_string() && item["in_stock"].is_i64(), "{item}");
        }
        match page["next_page_token"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => break,
        }
    }
    ensure!(skus.len() >= 200, "{} items", skus.len());
    let image = shop.get(&format!("/images/{sku}.svg")).await?;
    ensure!(image.status.is_success() && image.kind.starts_with("image/svg+xml"), "{} {}", image.status, image.kind);
    Ok(())
}

pub(crate) async fn an_order_tells_its_states_as_they_come(market: &Market) -> Result<()> {
    let shop = market.shop().await?;
    let id = shop.buy(&shop.any_sku().await?, "tok_3ds").await?;
    let mut response = shop.request(Method::GET, &format!("/api/orders/{id}/events")).send().await?;
    ensure!(response.status().is_success());
    let mut text = String::new();
    // The stream ends by itself after the final state.
    while let Some(chunk) = response.chunk().await? {
        text.push_str(std::str::from_utf8(&chunk)?);
    }
    let states: Vec<_> = ["placed", "confirmed", "shipped"].into_iter().filter_map(|state| text.find(&format!("\"{state}\""))).collect();
    ensure!(states.len() >= 2 && states.is_sorted() && text.contains("\"shipped\""), "{text}");
    Ok(())
}
