//! Shoppers who order until told to stop, each order again under the same key until there is an answer, and a journal of what was answered.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::eventually;
use tokio::time::Instant;

use crate::{
    market::print,
    shop::{Answer, Shop},
};

const SHOPPERS: usize = 8;
const CARDS: [&str; 6] = ["tok_visa", "tok_visa", "tok_mastercard", "tok_visa", "tok_3ds", "tok_decline"];
/// Most refusals that are shown.
const SHOWN: usize = 5;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);
/// What a shopper thinks about between two orders. Eight without it fill both cores, and then a test of faults is one of overload.
const THINKS: Duration = Duration::from_millis(500);
/// So many orders are asked for again under their key after they were answered.
const ASK_AGAIN_EVERY: usize = 10;
/// Traffic that stands still for this long is a fault of its own.
const FLOWS_WITHIN: Duration = Duration::from_secs(60);

/// The traffic of one test.
pub(crate) struct Traffic {
    shop: Shop,
    skus: Vec<String>,
    has_to_stop: AtomicBool,
    placed: AtomicUsize,
    refused: AtomicUsize,
    wishes: AtomicUsize,
    has_wishes: bool,
    begun: Instant,
    journal: Mutex<Journal>,
}

#[derive(Default)]
struct Journal {
    file: Option<File>,
    /// Order ids, and when they were acknowledged.
    acknowledged: Vec<(String, Duration)>,
}

impl Traffic {
    /// Shoppers of these items. What is acknowledged is written to `journal`, as `backbone verify --journal` reads it; only then some change
    /// their minds, and cancel or return what they ordered.
    pub(crate) fn new(shop: Shop, skus: Vec<String>, journal: Option<&Path>) -> Result<Self> {
        let file = journal.map(|path| File::create(path).with_context(|| format!("create {}", path.display()))).transpose()?;
        Ok(Self {
            shop,
            skus,
            has_to_stop: AtomicBool::new(false),
            placed: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            wishes: AtomicUsize::new(0),
            has_wishes: file.is_some(),
            begun: Instant::now(),
            journal: Mutex::new(Journal { file, acknowledged: Vec::new() }),
        })
    }

    /// Shops until told to stop.
    pub(crate) async fn flow(&self) -> Result<()> {
        join_all((0..SHOPPERS).map(|number| self.shopper(number))).await.into_iter().collect()
    }

    pub(crate) fn stop(&self) {
        self.has_to_stop.store(true, Ordering::Relaxed);
    }

    /// How many orders were acknowledged so far.
    pub(crate) fn placed(&self) -> usize {
        self.placed.load(Ordering::Relaxed)
    }

    /// How many were refused for good.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// How many were cancelled or returned by their shopper.
    pub(crate) fn wishes(&self) -> usize {
        self.wishes.load(Ordering::Relaxed)
    }

    /// Waits until so many orders were acknowledged.
    pub(crate) async fn until(&self, at_least: usize) {
        let look = async || match self.placed() {
            count if count >= at_least => Ok(()),
            count => Err(format!("{count} orders")),
        };
        eventually("traffic flows", FLOWS_WITHIN, look).await;
    }

    /// The orders that were acknowledged, in that order.
    pub(crate) fn acknowledged(&self) -> Vec<String> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).acknowledged.iter().map(|(id, _)| id.clone()).collect()
    }

    /// How many were acknowledged in each span of that length.
    pub(crate) fn per(&self, span: Duration) -> Vec<usize> {
        let mut counts = Vec::new();
        for (_, at) in &self.journal.lock().unwrap_or_else(PoisonError::into_inner).acknowledged {
            let place = usize::try_from(at.as_millis() / span.as_millis()).unwrap_or(usize::MAX);
            counts.resize(counts.len().max(place + 1), 0);
            counts[place] += 1;
        }
        counts
    }

    fn goes_on(&self) -> bool {
        !self.has_to_stop.load(Ordering::Relaxed)
    }

    async fn shopper(&self, number: usize) -> Result<()> {
        let region = if number.is_multiple_of(2) { "eu" } else { "us" };
        let mut kept = None;
        for round in 0.. {
            if !self.goes_on() {
                break;
            }
            tokio::time::sleep(THINKS).await;
            let shopper = self.shop.in_region(region);
            let card = CARDS[(number + round) % CARDS.len()];
            let Some(bought) = self.buy(&shopper, &self.skus[(number + round) % self.skus.len()], card).await else { continue };
            self.note(&bought, region)?;
            if round % ASK_AGAIN_EVERY == 0 {
                let again = self.ask(|| shopper.order(card, &bought.key)).await;
                let is_same = again.as_ref().is_none_or(|again| again["order_id"] == bought.id.as_str());
                ensure!(is_same, "key {} was answered with order {}, then with {again:?}", bought.key, bought.id);
            }
            // Now and then one is cancelled at once, and another sent back a while later.
            match round % 8 {
                _ if !self.has_wishes => {}
                1 => self.wish(&shopper, &bought, "cancel", "cancelled").await?,
                2 => kept = Some((shopper, bought)),
                7 => {
                    if let Some((shopper, bought)) = kept.take() {
                        self.wish(&shopper, &bought, "return", "returned").await?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Puts a piece into the cart and orders it.
    async fn buy(&self, shopper: &Shop, sku: &str, card: &str) -> Option<Bought> {
        let key = uuid::Uuid::now_v7().to_string();
        self.ask(|| shopper.put(sku, 1)).await?;
        let order = self.ask(|| shopper.order(card, &key)).await?;
        Some(Bought { id: order["order_id"].as_str()?.to_owned(), key, total: order["total"].clone() })
    }

    /// Wants an order to end otherwise. What is accepted has to come true; what is refused, because it is too late or too early, need not.
    async fn wish(&self, shopper: &Shop, bought: &Bought, verb: &str, ends: &str) -> Result<()> {
        let (path, key) = (format!("/api/orders/{}/{verb}", bought.id), uuid::Uuid::now_v7().to_string());
        let send = || shopper.send(shopper.request(Method::POST, &path).header("Idempotency-Key", &key));
        while self.goes_on() {
            match send().await {
                Ok(answer) if answer.status.is_success() => {
                    self.wishes.fetch_add(1, Ordering::Relaxed);
                    return self.write(&json!({ "order_id": bought.id, "idempotency_key": bought.key, "ends": ends }));
                }
                Ok(answer) if answer.status.is_client_error() && answer.status != StatusCode::TOO_MANY_REQUESTS => return Ok(()),
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
        Ok(())
    }

    /// Sends a request again and again until there is an answer. `None` when it is refused for good, or traffic ends before.
    async fn ask<F: Future<Output = Result<Answer>>>(&self, send: impl Fn() -> F) -> Option<Value> {
        while self.goes_on() {
            match send().await {
                Ok(answer) if answer.status.is_success() => return Some(answer.body),
                Ok(answer) if is_final(&answer) => {
                    if self.refused.fetch_add(1, Ordering::Relaxed) < SHOWN {
                        print(&format!("refused for good: {} {}", answer.status, answer.body));
                    }
                    return None;
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
        None
    }

    fn note(&self, bought: &Bought, region: &str) -> Result<()> {
        let Bought { id, key, total } = bought;
        self.write(&json!({ "order_id": id, "idempotency_key": key, "region": region, "total": total }))?;
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.acknowledged.push((id.clone(), self.begun.elapsed()));
        drop(journal);
        self.placed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn write(&self, line: &Value) -> Result<()> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.file.as_mut().map_or(Ok(()), |file| writeln!(file, "{line}")).context("write the journal")
    }
}

/// An order that was acknowledged.
struct Bought {
    id: String,
    key: String,
    total: Value,
}

/// A refusal that no repeat will change: the request is at fault, not the market's state.
fn is_final(answer: &Answer) -> bool {
    let retried = [408, 409, 425, 429];
    answer.status.is_client_error() && !retried.contains(&answer.status.as_u16())
}
