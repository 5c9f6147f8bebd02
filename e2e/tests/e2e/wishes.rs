//! A shopper changes their mind: cancel before the order is paid for, return after it was shipped.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use testkit::eventually;

use crate::{
    market::Market,
    shop::{Answer, Shop},
    tools,
};

const SEEN_WITHIN: Duration = Duration::from_secs(30);

impl Shop {
    /// `POST /api/orders/{id}/cancel` or `/return`.
    async fn wish(&self, id: &str, verb: &str, key: &str) -> Result<Answer> {
        self.send(self.request(Method::POST, &format!("/api/orders/{id}/{verb}")).header("Idempotency-Key", key)).await
    }

    async fn reaches(&self, id: &str, state: &str) -> Value {
        eventually(&format!("order {id} is {state}"), SEEN_WITHIN, async || {
            let answer = self.get(&format!("/api/orders/{id}")).await?;
            if answer.body["state"] == state { Ok(answer.body) } else { bail!("{answer:?}") }
        })
        .await
    }

    /// Posts a form of the order's page, as a browser without JavaScript does.
    async fn post_form(&self, path: &str, key: &str) -> Result<Answer> {
        let request = self.request(Method::POST, path).header("Accept", "text/html");
        self.send(request.header("Content-Type", "application/x-www-form-urlencoded").body(format!("key={key}"))).await
    }
}

pub(crate) async fn a_cancel_during_the_step_up_ends_the_order_without_a_charge(market: &Market) -> Result<()> {
    let (shop, psp) = (market.shop().await?.in_region("eu"), market.process("global", "psp").await?.port);
    let item = tools::new_item(market, "eu", 7).await?;
    let id = shop.buy(&item.sku, "tok_3ds").await?;
    let answer = shop.wish(&id, "cancel", "c1").await?;
    ensure!(answer.status == StatusCode::ACCEPTED && answer.body["requested"] == "cancel", "{answer:?}");
    let order = shop.reaches(&id, "cancelled").await;
    ensure!(order["cancel_reason"] == "ORDER_CANCELLED_BY_SHOPPER" && order["requested"].is_null(), "{order}");
    ensure!(shop.wish(&id, "cancel", "c1").await?.body == answer.body, "a repeat gets the first answer");
    let charges = shop.charges(psp, &id).await?;
    ensure!(charges.iter().all(|charge| charge["state"] == "voided"), "{charges:?}");
    ensure!(shop.in_stock(&item.sku).await? == 7, "the stock is back");
    Ok(())
}

pub(crate) async fn a_shipped_order_is_returned_and_refunded_once(market: &Market) -> Result<()> {
    let (shop, psp) = (market.shop().await?.in_region("us"), market.process("global", "psp").await?.port);
    let item = tools::new_item(market, "us", 7).await?;
    let id = shop.buy(&item.sku, "tok_visa").await?;
    shop.shipped(&id).await?;
    let refused = shop.wish(&id, "cancel", "c1").await?;
    ensure!(refused.status == StatusCode::UNPROCESSABLE_ENTITY && refused.reason() == "ORDER_TOO_LATE_TO_CANCEL", "{refused:?}");
    let keyless = shop.send(shop.request(Method::POST, &format!("/api/orders/{id}/return"))).await?;
    ensure!(keyless.reason() == "BFF_IDEMPOTENCY_KEY_REQUIRED", "{keyless:?}");
    let stranger = shop.newcomer().wish(&id, "return", "r1").await?;
    ensure!(stranger.reason() == "ORDER_NOT_YOURS", "{stranger:?}");
    let mut elsewhere = market.shop().await?.in_region("eu");
    elsewhere.reaches(&id, "shipped").await;
    elsewhere.session.clone_from(&shop.session);
    let refused = elsewhere.wish(&id, "return", "r2").await?;
    ensure!(refused.reason() == "ORDER_OTHER_REGION", "{refused:?}");
    for answer in futures::future::join_all((0..5).map(|_| shop.wish(&id, "return", "r1"))).await {
        let answer = answer?;
        ensure!(answer.status == StatusCode::ACCEPTED && answer.body["requested"] == "return", "{answer:?}");
    }
    shop.reaches(&id, "returned").await;
    let charges = shop.charges(psp, &id).await?;
    ensure!(charges.len() == 1 && charges[0]["state"] == "refunded", "{charges:?}");
    ensure!(shop.in_stock(&item.sku).await? == 6, "what was sold stays sold");
    elsewhere.reaches(&id, "returned").await;
    Ok(())
}

pub(crate) async fn the_order_page_cancels_and_returns_without_a_script(market: &Market) -> Result<()> {
    let shop = market.shop().await?.in_region("eu");
    let sku = shop.any_sku().await?;
    let (early, late) = (shop.buy(&sku, "tok_3ds").await?, shop.buy(&sku, "tok_visa").await?);
    shop.post_form(&format!("/orders/{early}/cancel"), "page-1").await?.good()?;
    shop.reaches(&early, "cancelled").await;
    shop.shipped(&late).await?;
    let page = shop.send(shop.request(Method::GET, &format!("/orders/{late}")).header("Accept", "text/html")).await?.good()?;
    let page = page.as_str().context("a page")?;
    ensure!(page.contains(&format!("action=\"/orders/{late}/return?key=")), "{page}");
    let refused = shop.post_form(&format!("/orders/{late}/cancel"), "page-2").await?;
    ensure!(refused.status == StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
    ensure!(refused.body.as_str().is_some_and(|page| page.contains("too late to cancel") && page.contains("return-form")), "{refused:?}");
    shop.post_form(&format!("/orders/{late}/return"), "page-3").await?.good()?;
    shop.reaches(&late, "returned").await;
    Ok(())
}
