//! A shopper with a browser: headless Chromium, through `WebDriver`.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use fantoccini::{Client, ClientBuilder, Locator, key::Key};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use testkit::{eventually, free_port};
use tokio::process::{Child, Command};

use crate::{
    market::{Market, print},
    shop::Shop,
};

const SHIPPED_WITHIN: Duration = Duration::from_secs(60);
/// A cart that was changed elsewhere is shown within this, or something is wrong. How soon it really is, is printed.
const CHANGED_WITHIN: Duration = Duration::from_secs(10);
/// A small phone's width in CSS pixels.
const PHONE: i64 = 360;

/// A browser and the driver it hangs on. Dropping it ends both.
struct Browser {
    client: Client,
    _driver: Child,
}

impl Browser {
    async fn open(mut options: Value) -> Result<Self> {
        let port = free_port();
        let mut driver = Command::new("chromedriver");
        driver.arg(format!("--port={port}")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let driver = driver.spawn().context("chromedriver is in the Debian package chromium-driver")?;
        // Root may not use Chromium's own sandbox; everything it opens here is ours.
        options["args"] = json!(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900"]);
        let wanted = json!({ "goog:chromeOptions": options });
        let wanted = wanted.as_object().context("an object")?.clone();
        let address = format!("http://127.0.0.1:{port}");
        let connect = async || ClientBuilder::new(HttpConnector::new()).capabilities(wanted.clone()).connect(&address).await;
        let client = eventually("the browser opens", Duration::from_secs(30), connect).await;
        Ok(Self { client, _driver: driver })
    }

    async fn close(self) -> Result<()> {
        Ok(self.client.close().await?)
    }

    async fn fits(&self, width: i64) -> Result<()> {
        let seen = self.client.execute("return document.documentElement.scrollWidth", Vec::new()).await?;
        ensure!(seen.as_i64() <= Some(width), "{} is {seen} pixels wide", self.client.current_url().await?);
        Ok(())
    }

    async fn fill(&self, name: &str, text: &str) -> Result<()> {
        let field = self.client.find(Locator::Css(&format!("[name={name}]"))).await?;
        Ok(field.send_keys(text).await?)
    }

    async fn address(&self) -> Result<()> {
        for (name, text) in [("name", "Ada"), ("line1", "Linienstrasse 12"), ("postal_code", "10178"), ("city", "Berlin")] {
            self.fill(name, text).await?;
        }
        self.client.find(Locator::Css("select[name=country]")).await?.select_by_value("DE").await?;
        Ok(())
    }

    async fn state(&self) -> Result<String> {
        Ok(self.client.wait().at_most(SHIPPED_WITHIN).for_element(Locator::Css("#order-state")).await?.text().await?)
    }

    /// Waits until the page says that the order is shipped.
    async fn shipped(&self) -> Result<()> {
        eventually("the page says shipped", SHIPPED_WITHIN, async || match self.state().await {
            Ok(state) if state == "shipped" => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        Ok(())
    }
}

pub(crate) async fn two_browsers_one_in_each_region_see_each_others_carts(market: &Market) -> Result<()> {
    let shop = market.shop().await?;
    let sku = shop.any_sku().await?;
    let browsers = [Browser::open(json!({})).await?, Browser::open(json!({})).await?];
    for (browser, region) in browsers.iter().zip(["eu", "us"]) {
        browser.client.goto(&format!("{}/?region={region}", shop.base)).await?;
        // Through the page: the driver takes no cookie for an address without a name.
        let cookie = json!(format!("session={}; path=/", shop.session));
        browser.client.execute("document.cookie = arguments[0]", vec![cookie]).await?;
        browser.client.goto(&format!("{}/cart", shop.base)).await?;
        // As it is shown: in capitals.
        let served = browser.client.find(Locator::Css("#region")).await?.text().await?;
        ensure!(served.eq_ignore_ascii_case(region), "served from {served}");
    }
    let shows = async |browser: &Browser, text: &str| {
        eventually(text, CHANGED_WITHIN, async || match browser.client.find(Locator::Css("#cart")).await?.html(false).await? {
            cart if cart.contains(text) => Ok(()),
            cart => Err(anyhow::anyhow!("{cart}")),
        })
        .await;
    };
    let begun = Instant::now();
    shop.moved_to("eu").put(&sku, 2).await?.good()?;
    for browser in &browsers {
        shows(browser, &format!("quantity-{sku}")).await;
    }
    let put = begun.elapsed();
    browsers[1].client.find(Locator::Css("button[name=remove]")).await?.click().await?;
    let begun = Instant::now();
    shows(&browsers[0], "It is empty").await;
    print(&format!(
        "open carts: a change was shown in both after {} ms, another after {} ms",
        put.as_millis(),
        begun.elapsed().as_millis()
    ));
    for browser in browsers {
        browser.close().await?;
    }
    Ok(())
}

pub(crate) async fn a_shopper_buys_and_sees_the_order_shipped_without_a_reload(market: &Market) -> Result<()> {
    let shop = market.shop().await?;
    let browser = Browser::open(json!({})).await?;
    let page = &browser.client;
    page.goto(&shop.base).await?;
    page.find(Locator::Css("a[href^='/items/']")).await?.click().await?;
    page.wait().for_element(Locator::Css("#add-to-cart")).await?.click().await?;
    page.wait().for_element(Locator::Css("#checkout")).await?.click().await?;
    page.wait().for_element(Locator::Css("#checkout-form")).await?;
    browser.address().await?;
    // The bank asks first, so the page is there before the order is shipped.
    page.find(Locator::Css("input[value=tok_3ds]")).await?.click().await?;
    page.find(Locator::Css("#place-order")).await?.click().await?;
    ensure!(browser.state().await? == "placed", "the bank has not answered yet");
    page.execute("window.sameSince = 'placed'", Vec::new()).await?;
    browser.shipped().await?;
    let same = page.execute("return window.sameSince", Vec::new()).await?;
    ensure!(same == "placed", "the page was loaded again: {same}");
    let done = page.find_all(Locator::Css("#timeline li[data-done]")).await?.len();
    ensure!(done == 3, "{done} stages are done");
    browser.close().await
}

pub(crate) async fn a_shopper_with_a_phone_and_a_keyboard_can_buy(market: &Market) -> Result<()> {
    let shop = market.shop().await?;
    let phone = json!({ "width": PHONE, "height": 740, "pixelRatio": 2.0, "touch": false });
    let browser = Browser::open(json!({ "mobileEmulation": { "deviceMetrics": phone } })).await?;
    let page = &browser.client;
    let enter = Key::Enter.to_string();
    page.goto(&shop.base).await?;
    browser.fits(PHONE).await?;
    page.find(Locator::Css("#q")).await?.send_keys(&word(&shop).await?).await?;
    page.find(Locator::Css("#q")).await?.send_keys(&enter).await?;
    page.wait().for_element(Locator::Css("h1")).await?;
    eventually("the results are there", Duration::from_secs(10), async || match page.current_url().await {
        Ok(url) if url.query().is_some_and(|query| query.contains("q=")) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    browser.fits(PHONE).await?;
    page.find(Locator::Css("a[href^='/items/']")).await?.send_keys(&enter).await?;
    page.wait().for_element(Locator::Css("#add-to-cart")).await?;
    browser.fits(PHONE).await?;
    page.find(Locator::Css("#add-to-cart")).await?.send_keys(&enter).await?;
    page.wait().for_element(Locator::Css("#checkout")).await?;
    browser.fits(PHONE).await?;
    page.find(Locator::Css("#checkout")).await?.send_keys(&enter).await?;
    page.wait().for_element(Locator::Css("#checkout-form")).await?;
    browser.fits(PHONE).await?;
    browser.address().await?;
    page.find(Locator::Css("#place-order")).await?.send_keys(&enter).await?;
    browser.shipped().await?;
    browser.fits(PHONE).await?;
    browser.close().await
}

/// A word that finds something.
async fn word(shop: &Shop) -> Result<String> {
    let items = shop.get("/api/items?page_size=1").await?.good()?;
    let title = items["items"][0]["title"].as_str().context("a title")?;
    Ok(title.split_whitespace().next().context("a word")?.to_owned())
}
