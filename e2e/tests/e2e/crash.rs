//! The crash test: a process is killed every one to two seconds under load, and at the end no promise is broken.
//!
//! ```text
//! load ─────┬──────────────── kills ────────────────┬───────┬── stop ──> backbone verify --journal
//!    floor: void when it                       everything   goes on
//!    does not flow before                      runs again   for a while
//! ```
//! `CRASH_SEED` repeats a run's plan, `CRASH_SECONDS` says for how long it kills. `make crash` sets both.

mod plan;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::time::{Instant, sleep, sleep_until};

use self::plan::{Part, Strike};
use crate::{
    faults::{healed, kill},
    market::{Market, print},
    shop::Shop,
    shoppers::Traffic,
};

/// How long it kills as one test of the suite.
const SECONDS: u64 = 40;
/// Traffic before the first kill.
const BEFORE: Duration = Duration::from_secs(5);
/// Fewer acknowledged orders in that time, and the run shows nothing.
const FLOOR: usize = 25;
/// Traffic after the last kill, when everything runs again.
const AFTER: Duration = Duration::from_secs(5);
/// What is under way when the load ends has this long to settle.
const SETTLES_WITHIN: &str = "120s";
/// Fewer items would be sold out, and then nothing is paid for.
const ITEMS: usize = 20;

#[expect(clippy::disallowed_methods, reason = "the Makefile says which run it is")]
fn setting(name: &str) -> Result<Option<u64>> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => Ok(Some(text.parse().with_context(|| format!("{name} is a number, not {text}"))?)),
        _ => Ok(None),
    }
}

pub(crate) async fn every_promise_is_kept_whatever_dies(market: &Market) -> Result<()> {
    let seed = setting("CRASH_SEED")?.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let seconds = setting("CRASH_SECONDS")?.unwrap_or(SECONDS);
    print(&format!("crash: seed {seed}, {seconds} s; `make crash SEED={seed} SECONDS={seconds}` repeats the plan"));
    let shop = market.shop().await?;
    let journal = market.home().join("crash.ndjson");
    let traffic = Traffic::new(shop.clone(), items(&shop).await?, Some(&journal))?;
    let strike = async {
        let kills = strike(market, &traffic, seed, Duration::from_secs(seconds)).await;
        traffic.stop();
        kills
    };
    let (flowed, kills) = tokio::join!(traffic.flow(), strike);
    let kills = kills?;
    report(&traffic, &kills);
    flowed?;
    let count: usize = kills.values().sum();
    ensure!(count >= usize::try_from(seconds / 3)?, "{count} kills in {seconds} s are too few");
    let journal = journal.display().to_string();
    market.verify(&["--wait", SETTLES_WITHIN, "--journal", &journal]).await.with_context(|| format!("seed {seed}"))
}

/// Items with enough stock in both regions.
async fn items(shop: &Shop) -> Result<Vec<String>> {
    let items = shop.get("/api/items?page_size=50").await?.good()?;
    let items = items["items"].as_array().context("items")?;
    let plenty = items.iter().filter(|item| item["in_stock"].as_i64() > Some(100)).filter_map(|item| item["sku"].as_str());
    let skus: Vec<String> = plenty.map(str::to_owned).collect();
    ensure!(skus.len() >= ITEMS, "{} items have stock", skus.len());
    Ok(skus)
}

/// Carries the plan out. How often each part was killed.
async fn strike(market: &Market, traffic: &Traffic, seed: u64, length: Duration) -> Result<BTreeMap<Part, usize>> {
    sleep(BEFORE).await;
    let placed = traffic.placed();
    ensure!(placed >= FLOOR, "void: {placed} orders were acknowledged before the first kill, {FLOOR} are wanted");
    let parts = plan::parts(market.processes().await?.iter().map(|process| (process.region.clone(), process.name.clone())));
    let mut kills: BTreeMap<Part, usize> = BTreeMap::new();
    let begun = Instant::now();
    for Strike { after, part } in plan::draw(seed, length, &parts) {
        sleep_until(begun + after).await;
        let running = market.processes().await?;
        // One that has not come back yet cannot be killed.
        if let Some(process) = running.iter().find(|process| (&process.region, &process.name) == (&part.region, &part.name)) {
            kill(process.pid)?;
            *kills.entry(part).or_default() += 1;
        }
    }
    sleep_until(begun + length).await;
    healed(market).await;
    let (placed, again) = (traffic.placed(), Instant::now());
    sleep(AFTER).await;
    if traffic.placed() == placed {
        bail!("no order was acknowledged for {} s although everything runs again", again.elapsed().as_secs());
    }
    Ok(kills)
}

fn report(traffic: &Traffic, kills: &BTreeMap<Part, usize>) {
    let list: Vec<_> = kills.iter().map(|(part, count)| format!("{}/{} {count}", part.region, part.name)).collect();
    print(&format!("kills: {} of {} parts: {}", kills.values().sum::<usize>(), kills.len(), list.join(", ")));
    print(&format!(
        "acknowledged: {} orders, {} cancels and returns; {} requests were refused for good",
        traffic.placed(),
        traffic.wishes(),
        traffic.refused()
    ));
    let per = |seconds| traffic.per(Duration::from_secs(seconds)).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    print(&format!("acknowledged per minute: {}; per 10 s: {}", per(60), per(10)));
}
