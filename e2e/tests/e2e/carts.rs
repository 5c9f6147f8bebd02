//! CART-1 and CART-2 from outside: one cart that two regions change.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;
use uuid::Uuid;

use crate::{
    faults::{healed, kill},
    market::{Market, print},
    shop::Shop,
};

const SEEN_WITHIN: Duration = Duration::from_secs(10);

impl Shop {
    /// The cart's lines: SKU and quantity.
    pub(crate) async fn lines(&self) -> Result<Vec<(String, u64)>> {
        let cart = self.get("/api/cart").await?.good()?;
        let line = |line: &Value| Some((line["sku"].as_str()?.to_owned(), line["quantity"].as_u64()?));
        cart["lines"].as_array().context("a cart has lines")?.iter().map(|one| line(one).context("a line")).collect()
    }

    async fn remove(&self, sku: &str) -> Result<()> {
        self.send(self.request(Method::DELETE, &format!("/api/cart/lines/{sku}"))).await?.good().map(drop)
    }
}

/// Waits until all of `doors` show these lines.
pub(crate) async fn agree(doors: &[&Shop], expected: &[(&String, u64)]) {
    let expected: Vec<_> = expected.iter().map(|(sku, quantity)| ((*sku).clone(), *quantity)).collect();
    let look = async || {
        for door in doors {
            let lines = door.lines().await?;
            ensure!(lines == expected, "{lines:?} and not {expected:?}");
        }
        Ok(())
    };
    eventually("both regions show the same cart", SEEN_WITHIN, look).await;
}

pub(crate) async fn a_cart_is_the_same_in_both_regions(market: &Market) -> Result<()> {
    let eu = market.shop().await?.in_region("eu");
    let us = eu.moved_to("us");
    let (mut skus, doors) = (eu.skus(3).await?, [&eu, &us]);
    skus.sort();
    let [cup, mug, tea] = &skus[..] else { bail!("three were asked for") };
    eu.put(mug, 2).await?.good()?;
    let begun = Instant::now();
    agree(&doors, &[(mug, 2)]).await;
    print(&format!("a change was seen in the other region after {} ms", begun.elapsed().as_millis()));
    us.remove(mug).await?;
    us.put(tea, 1).await?.good()?;
    agree(&doors, &[(tea, 1)]).await;

    // Both at once. Who came first is not known here, only that both regions end with the same.
    for _ in 0..5 {
        let (put, ()) = try_join(eu.put(tea, 3), us.remove(tea)).await?;
        put.good()?;
        let (one, other) = try_join(eu.put(cup, 4), us.put(cup, 2)).await?;
        one.good().and(other.good())?;
        let look = async || {
            let (eu, us) = try_join(eu.lines(), us.lines()).await?;
            ensure!(eu == us, "{eu:?} and {us:?}");
            Ok(eu)
        };
        let lines = eventually("both regions show the same cart", SEEN_WITHIN, look).await;
        ensure!(lines.iter().any(|(sku, quantity)| sku == cup && [2, 4].contains(quantity)), "{lines:?}");
    }
    Ok(())
}

pub(crate) async fn a_cart_goes_on_in_the_other_region_when_its_own_is_gone(market: &Market) -> Result<()> {
    let shop = market.shop().await?;
    let eu = shop.in_region("eu");
    let us = eu.moved_to("us");
    let sku = eu.any_sku().await?;
    eu.put(&sku, 2).await?.good()?;
    agree(&[&eu, &us], &[(&sku, 2)]).await;
    for name in ["bff", "cart", "order"] {
        kill(market.process("eu", name).await?.pid)?;
    }
    us.put(&sku, 5).await?.good()?;
    healed(market).await;
    agree(&[&eu, &us], &[(&sku, 5)]).await;
    Ok(())
}

pub(crate) async fn who_signs_in_has_one_cart_on_every_device(market: &Market) -> Result<()> {
    let credentials = json!({ "name": format!("Ada {}", Uuid::now_v7()), "passphrase": "correct horse" });
    let sign_in = async |device: &Shop| {
        let signed_in = device.send(device.request(Method::POST, "/api/session").json(&credentials)).await?.good()?;
        let session = signed_in["session"].as_str().context("a session")?.to_owned();
        Ok::<_, anyhow::Error>(device.as_session(session))
    };
    let phone = market.shop().await?.in_region("eu");
    let sku = phone.any_sku().await?;
    phone.put(&sku, 2).await?.good()?;
    let phone = sign_in(&phone).await?;
    agree(&[&phone], &[(&sku, 2)]).await;
    // The same shopper at a desk in the other region, with a cart of her own there.
    let desk = market.shop().await?.in_region("us");
    desk.put(&sku, 3).await?.good()?;
    let desk = sign_in(&desk).await?;
    agree(&[&phone, &desk], &[(&sku, 5)]).await;
    let short = json!({ "name": "Ada", "passphrase": "short" });
    let refused = phone.send(phone.request(Method::POST, "/api/session").json(&short)).await?;
    ensure!(refused.status == 400, "{refused:?}");
    Ok(())
}
