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
use serde_json::{Value, json};
use testkit::eventually;
use tokio::time::Instant;

use crate::shop::{Answer, Shop};

const SHOPPERS: usize = 8;
const CARDS: [&str; 6] = ["tok_visa", "tok_visa", "tok_mastercard", "tok_visa", "tok_3ds", "tok_decline"];
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);
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
    /// Shoppers of these items. What is acknowledged is written to `journal`, as `backbone verify --journal` reads it.
    pub(crate) fn new(shop: Shop, skus: Vec<String>, journal: Option<&Path>) -> Result<Self> {
        let file = journal.map(|path| File::create(path).with_context(|| format!("create {}", path.display()))).transpose()?;
        Ok(Self {
            shop,
            skus,
            has_to_stop: AtomicBool::new(false),
            placed: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
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
        for round in 0.. {
            if !self.goes_on() {
                break;
            }
            let shopper = self.shop.in_region(region);
            let key = uuid::Uuid::now_v7().to_string();
            let sku = &self.skus[(number + round) % self.skus.len()];
            while self.goes_on() && !shopper.put(sku, 1).await.is_ok_and(|answer| answer.status.is_success()) {
                tokio::time::sleep(PAUSE).await;
            }
            let Some(order) = self.ask(&shopper, CARDS[(number + round) % CARDS.len()], &key).await else { continue };
            self.note(&key, region, &order)?;
            if round % ASK_AGAIN_EVERY == 0
                && let Some(again) = self.ask(&shopper, CARDS[(number + round) % CARDS.len()], &key).await
            {
                ensure!(again["order_id"] == order["order_id"], "key {key} was answered with {order}, then with {again}");
            }
        }
        Ok(())
    }

    /// Orders what is in the cart: again and again until there is an answer. `None` when it is refused for good, or traffic ends before.
    async fn ask(&self, shopper: &Shop, card: &str, key: &str) -> Option<Value> {
        while self.goes_on() {
            match shopper.order(card, key).await {
                Ok(answer) if answer.status.is_success() => return Some(answer.body),
                Ok(answer) if is_final(&answer) => {
                    if self.refused.fetch_add(1, Ordering::Relaxed) < 5 {
                        crate::market::print(&format!("refused for good: {} {}", answer.status, answer.body));
                    }
                    return None;
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
        None
    }

    fn note(&self, key: &str, region: &str, order: &Value) -> Result<()> {
        let id = order["order_id"].as_str().with_context(|| format!("an order has an id: {order}"))?;
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut journal.file {
            let line = json!({ "order_id": id, "idempotency_key": key, "region": region, "total": order["total"] });
            writeln!(file, "{line}").context("write the journal")?;
        }
        journal.acknowledged.push((id.to_owned(), self.begun.elapsed()));
        drop(journal);
        self.placed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A refusal that no repeat will change: the request is at fault, not the market's state.
fn is_final(answer: &Answer) -> bool {
    let retried = [408, 409, 425, 429];
    answer.status.is_client_error() && !retried.contains(&answer.status.as_u16())
}
