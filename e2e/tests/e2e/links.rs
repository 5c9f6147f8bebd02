//! What lies between the regions, set from outside: latency, partitions of both directions and of one.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use futures::FutureExt as _;
use reqwest::StatusCode;
use serde_json::Value;
use testkit::eventually;
use tokio::time::sleep;

use crate::{
    carts::agree,
    faults::{healed, kill},
    market::{Market, Said, print},
    shop::Shop,
};

/// How long is watched that nothing crosses. It would take a fifth of a second.
const WATCHED: Duration = Duration::from_secs(5);
/// After a heal both regions are the same within this.
const CONVERGES_WITHIN: Duration = Duration::from_secs(10);

impl Market {
    /// `link ...`, which must work, as JSON.
    async fn link(&self, arguments: &[&str]) -> Result<Value> {
        let said = self.backbone(&[&["link", "--json"], arguments].concat()).await?;
        ensure!(said.code == 0, "{said:?}");
        serde_json::from_str(&said.text).with_context(|| format!("read {}", said.text))
    }

    /// Bytes that came out from one region to the other, by protocol.
    async fn crossed(&self, from: &str) -> Result<Vec<(String, u64)>> {
        let answer = self.link(&["list"]).await?;
        let flows = answer["flows"].as_array().context("flows")?.iter().filter(|flow| flow["from"] == from && flow["to"] != "witness");
        flows.map(|flow| Some((flow["protocol"].as_str()?.to_owned(), flow["bytes"].as_u64()?))).collect::<Option<_>>().context("a flow")
    }

    /// Does something with the links, which are afterwards as they were, whatever happened.
    async fn with_links(&self, deed: impl Future<Output = Result<()>>) -> Result<()> {
        let outcome = AssertUnwindSafe(deed).catch_unwind().await;
        self.link(&["reset"]).await?;
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// A shopper with a cart that both regions show, and three items.
async fn shopper(market: &Market) -> Result<(Shop, Shop, Vec<String>)> {
    let eu = market.shop().await?.in_region("eu");
    let us = eu.moved_to("us");
    let mut skus = eu.skus(3).await?;
    skus.sort();
    eu.put(&skus[0], 1).await?.good()?;
    agree(&[&eu, &us], &[(&skus[0], 1)]).await;
    Ok((eu, us, skus))
}

/// Whether a region knows an order.
async fn knows(shop: &Shop, order: &str) -> Result<bool> {
    Ok(shop.get(&format!("/api/orders/{order}")).await?.status == StatusCode::OK)
}

/// Looks again and again for a while.
async fn all_the_time(what: &str, mut look: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + WATCHED;
    while Instant::now() < end {
        ensure!(look().await?, "{what}: no more");
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

pub(crate) async fn a_partition_lets_nothing_through_and_after_it_both_regions_agree(market: &Market) -> Result<()> {
    let (eu, us, skus) = shopper(market).await?;
    let (buyer, buyer_us) = (eu.newcomer(), us.newcomer());
    let cut = async {
        market.link(&["set", "eu", "us", "--partition"]).await?;
        let before = (market.crossed("eu").await?, market.crossed("us").await?);
        // Both regions go on by themselves.
        eu.put(&skus[1], 2).await?.good()?;
        us.put(&skus[2], 3).await?.good()?;
        let orders = (buyer.buy(&skus[0], "tok_visa").await?, buyer_us.buy(&skus[0], "tok_visa").await?);
        buyer.shipped(&orders.0).await?;
        buyer_us.shipped(&orders.1).await?;
        all_the_time("the carts stay apart", async || {
            let (one, other) = (eu.lines().await?, us.lines().await?);
            let has = |lines: &[(String, u64)], sku: &str| lines.iter().any(|(one, _)| one == sku);
            Ok(has(&one, &skus[1]) && !has(&one, &skus[2]) && has(&other, &skus[2]) && !has(&other, &skus[1]))
        })
        .await?;
        let away = (buyer.moved_to("us"), buyer_us.moved_to("eu"));
        ensure!(!knows(&away.0, &orders.0).await? && !knows(&away.1, &orders.1).await?, "no order has crossed");
        // Of no protocol: neither the mirror's nor Kafka's, NATS' or the carts' own.
        let after = (market.crossed("eu").await?, market.crossed("us").await?);
        ensure!(before == after, "bytes have crossed: {before:?} and then {after:?}");

        let begun = Instant::now();
        market.link(&["set", "eu", "us", "--heal"]).await?;
        eventually("both regions agree", CONVERGES_WITHIN, async || {
            let (one, other) = (eu.lines().await?, us.lines().await?);
            ensure!(one == other && one.len() == 3, "{one:?} and {other:?}");
            ensure!(knows(&away.0, &orders.0).await? && knows(&away.1, &orders.1).await?, "an order has not crossed");
            Ok(())
        })
        .await;
        print(&format!("after a partition both regions agreed within {} ms", begun.elapsed().as_millis()));
        Ok(())
    };
    market.with_links(cut).await?;
    market.verify(&[]).await
}

pub(crate) async fn a_one_way_partition_stops_one_direction_only(market: &Market) -> Result<()> {
    let eu = market.shop().await?.in_region("eu");
    let us = eu.moved_to("us").newcomer();
    let sku = eu.any_sku().await?;
    let (eu_seen_in_us, us_seen_in_eu) = (eu.moved_to("us"), us.moved_to("eu"));
    let cut = async {
        market.link(&["set", "eu", "us", "--partition", "--one-way"]).await?;
        let before = (market.crossed("eu").await?, market.crossed("us").await?);
        let orders = (eu.buy(&sku, "tok_visa").await?, us.buy(&sku, "tok_visa").await?);
        eventually(
            "eu hears of us",
            CONVERGES_WITHIN,
            async || {
                if knows(&us_seen_in_eu, &orders.1).await? { Ok(()) } else { bail!("not yet") }
            },
        )
        .await;
        all_the_time("us does not hear of eu", async || Ok(!knows(&eu_seen_in_us, &orders.0).await?)).await?;
        let after = (market.crossed("eu").await?, market.crossed("us").await?);
        ensure!(before.0 == after.0, "bytes have crossed from eu: {before:?} and then {after:?}");
        ensure!(before.1 != after.1, "bytes cross from us: {before:?} and then {after:?}");
        market.link(&["set", "eu", "us", "--heal"]).await?;
        eventually(
            "us hears of eu",
            CONVERGES_WITHIN,
            async || {
                if knows(&eu_seen_in_us, &orders.0).await? { Ok(()) } else { bail!("not yet") }
            },
        )
        .await;
        Ok(())
    };
    market.with_links(cut).await
}

pub(crate) async fn a_change_takes_at_least_the_latency(market: &Market) -> Result<()> {
    const ONE_WAY: Duration = Duration::from_millis(400);
    let (eu, us, skus) = shopper(market).await?;
    let slow = async {
        let answer = market.link(&["set", "eu", "us", "--latency", "800ms"]).await?;
        let flows = answer["flows"].as_array().context("flows")?;
        let mut between = flows.iter().filter(|flow| flow["from"] != "witness" && flow["to"] != "witness");
        ensure!(between.all(|flow| flow["latency_us"] == 400_000), "half of it each way: {answer}");
        for (quantity, (here, there)) in [(2, (&eu, &us)), (3, (&us, &eu))] {
            let begun = Instant::now();
            here.put(&skus[0], quantity).await?.good()?;
            agree(&[here, there], &[(&skus[0], u64::from(quantity))]).await;
            let took = begun.elapsed();
            print(&format!("at 400 ms one way a change was seen after {} ms", took.as_millis()));
            ensure!(took >= ONE_WAY, "{took:?}");
        }
        Ok(())
    };
    market.with_links(slow).await
}

pub(crate) async fn links_that_are_killed_come_back_as_they_were_set(market: &Market) -> Result<()> {
    let (eu, us, skus) = shopper(market).await?;
    let struck = async {
        market.link(&["set", "us", "eu", "--one-way", "--jitter", "3ms", "--protocol", "nats"]).await?;
        let killed = market.process("global", "links").await?.pid;
        kill(killed)?;
        eventually("other links run", CONVERGES_WITHIN, async || match market.process("global", "links").await {
            Ok(process) if process.pid != killed => Ok(()),
            other => bail!("{other:?}"),
        })
        .await;
        healed(market).await;
        let answer = market.link(&["list"]).await?;
        let jitters: Vec<_> = answer["flows"].as_array().context("flows")?.iter().filter(|flow| flow["jitter_us"] != 0).collect();
        ensure!(
            matches!(jitters[..], [flow] if flow["protocol"] == "nats" && flow["from"] == "us" && flow["jitter_us"] == 3_000),
            "{answer}"
        );
        eu.put(&skus[0], 7).await?.good()?;
        agree(&[&eu, &us], &[(&skus[0], 7)]).await;
        Ok(())
    };
    market.with_links(struck).await
}

pub(crate) async fn what_cannot_be_set_is_refused_with_a_reason(market: &Market) -> Result<()> {
    market.started().await?;
    let cases: [(&[&str], i32, &str); 5] = [
        (&["link", "set", "eu", "mars", "--heal"], 64, "a site is eu, us or witness"),
        (&["link", "set", "eu", "us", "--loss", "150%"], 64, "a loss is 0% to 90%"),
        (&["link", "set", "eu", "us"], 64, "--partition"),
        (
            &["link", "set", "eu", "us", "--heal", "--protocol", "smtp"],
            1,
            "known are cart, coordinator, kafka, nats, postgres, raft, region",
        ),
        (&["link", "set", "eu", "witness", "--heal", "--protocol", "cart"], 1, "nothing between eu and witness speaks 'cart'"),
    ];
    for (arguments, code, reason) in cases {
        let said = market.backbone(arguments).await?;
        ensure!(said.code == code && said.text.contains(reason), "{arguments:?}: {said:?}");
    }
    let nothing = market.home().with_extension("nothing");
    let Said { code, text } = market.backbone_with(&["link", "list"], &nothing, 0).await?;
    ensure!(code == 1 && text.contains("backbone up"), "{code}: {text}");
    Ok(())
}
