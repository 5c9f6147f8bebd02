//! Open-loop traffic through the edge: each request has its moment, and none waits for another's answer. Times count from that moment, so that what a
//! slow answer holds up is in the figures.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use ids::Region;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Of a hundred requests so many only look, and so many change a cart; the rest order.
const BROWSE: u64 = 80;
const CART: u64 = 18;
/// Shoppers, half of them in each region.
const SHOPPERS: u64 = 400;
/// So long it takes until all of them come: nothing that has just been started is met by all at once.
pub(super) const RAMP: Duration = Duration::from_secs(20);
/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(35);

/// When a request is due.
fn due(number: u32, rate: u32) -> Duration {
    let (ramp, rate, number) = (RAMP.as_secs_f64(), f64::from(rate), f64::from(number));
    let within = rate * ramp / 2.0;
    Duration::from_secs_f64(if number < within { (2.0 * ramp * number / rate).sqrt() } else { ramp + (number - within) / rate })
}

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Browse,
    Cart,
    Order,
}

/// One request, when it was due and when its answer was there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) kind: Kind,
    pub(super) region: Region,
    pub(super) due: Instant,
    pub(super) answered: Instant,
    pub(super) is_good: bool,
}

/// Traffic that goes on until it is told to stop.
pub(super) struct Load {
    client: Client,
    shop: String,
    skus: Vec<String>,
    /// How often one of the first n items is wanted, not yet divided by the last of these.
    weights: Vec<f64>,
    journal: Mutex<File>,
    samples: Mutex<Vec<Sample>>,
    failures: Mutex<BTreeMap<String, Failures>>,
}

/// Requests that failed for one reason.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failures {
    pub(super) count: u32,
    /// When the first and the last of them were due.
    pub(super) first: Instant,
    pub(super) last: Instant,
}

impl Load {
    /// Traffic at the edge, for these items. Acknowledged orders go to `journal`.
    pub(super) fn new(shop: String, skus: Vec<String>, journal: &Path) -> Result<Arc<Self>> {
        let client = Client::builder().no_proxy().timeout(PATIENCE).pool_max_idle_per_host(4096).tcp_nodelay(true).build()?;
        let journal = Mutex::new(File::create(journal).with_context(|| format!("create {}", journal.display()))?);
        let weights = (1..=skus.len()).scan(0.0, |sum, rank| {
            #[expect(clippy::cast_precision_loss, reason = "a number of items")]
            let weight = 1.0 / rank as f64;
            *sum += weight;
            Some(*sum)
        });
        let weights = weights.collect();
        Ok(Arc::new(Self { client, shop, skus, weights, journal, samples: Mutex::default(), failures: Mutex::default() }))
    }

    /// Sends requests until `stop`, more and more of them until they are `rate` a second after [`RAMP`], and waits for the last answer.
    pub(super) async fn run(self: Arc<Self>, rate: u32, stop: CancellationToken) {
        let (begun, mut requests) = (Instant::now(), JoinSet::new());
        for number in 0_u32.. {
            let due = begun + due(number, rate);
            if stop.run_until_cancelled(sleep_until(due)).await.is_none() {
                break;
            }
            let load = self.clone();
            requests.spawn(async move { load.one(u64::from(number), due).await });
            while requests.try_join_next().is_some() {}
        }
        while requests.join_next().await.is_some() {}
    }

    async fn one(&self, number: u64, due: Instant) {
        // Every kind at every shopper, in an order that is no rhythm.
        let dice = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        let (shopper, share) = (dice % SHOPPERS, (dice / SHOPPERS) % 100);
        let region = Region::ALL[usize::from(shopper % 2 == 1)];
        let kind = match share {
            share if share < BROWSE => Kind::Browse,
            share if share < BROWSE + CART => Kind::Cart,
            _ => Kind::Order,
        };
        let sku = &self.skus[self.popular(dice.wrapping_mul(0xD134_2543_DE82_EF95) >> 32)];
        // Who orders does it with a cart of their own, so that no other order empties it.
        let session = if kind == Kind::Order { format!("load-{}", Uuid::now_v7().simple()) } else { format!("load-{shopper}") };
        let outcome = match kind {
            Kind::Browse => self.ask(Method::GET, &format!("/api/items/{sku}"), &session, region, None).await,
            Kind::Cart => self.put(sku, &session, region, dice % 5 + 1).await,
            Kind::Order => self.order(sku, &session, region).await,
        };
        let sample = Sample { kind, region, due, answered: Instant::now(), is_good: outcome.is_ok() };
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
        if let Err(error) = outcome {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            let reason = failures.entry(format!("{kind:?} of {region}: {error:#}"));
            let reason = reason.or_insert(Failures { count: 0, first: due, last: due });
            *reason = Failures { count: reason.count + 1, first: reason.first.min(due), last: reason.last.max(due) };
        }
    }

    /// An item by its popularity: the n-th is wanted 1/n as often as the first (Zipf). `dice` has 32 bits.
    fn popular(&self, dice: u64) -> usize {
        #[expect(clippy::cast_precision_loss, reason = "32 bits")]
        let share = dice as f64 / f64::from(u32::MAX) * self.weights.last().copied().unwrap_or_default();
        self.weights.partition_point(|weight| *weight < share).min(self.skus.len() - 1)
    }

    async fn put(&self, sku: &str, session: &str, region: Region, quantity: u64) -> Result<Value> {
        let body = json!({ "quantity": quantity });
        self.ask(Method::PUT, &format!("/api/cart/lines/{sku}"), session, region, Some(body)).await
    }

    async fn order(&self, sku: &str, session: &str, region: Region) -> Result<Value> {
        self.put(sku, session, region, 1).await.context("fill the cart")?;
        let address = json!({ "name": "Ada", "line1": "Linienstrasse 12", "city": "Berlin", "country": "DE", "postal_code": "10178" });
        let body = json!({ "payment_token": "tok_visa", "address": address });
        self.ask(Method::POST, "/api/orders", session, region, Some(body)).await
    }

    async fn ask(&self, method: Method, path: &str, session: &str, region: Region, body: Option<Value>) -> Result<Value> {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.shop));
        request = request.header("X-Session", session).header("Cookie", format!("region={region}"));
        let key = Uuid::now_v7().to_string();
        if let Some(body) = &body {
            request = request.header("Idempotency-Key", &key).json(body);
        }
        let response = request.send().await.map_err(reqwest::Error::without_url)?;
        let status = response.status();
        let answer: Value = response.json().await.unwrap_or_default();
        anyhow::ensure!(status.is_success(), "{status} {}", answer["reason"]);
        if status == StatusCode::CREATED && method == Method::POST {
            let line = json!({ "order_id": answer["order_id"], "idempotency_key": key, "region": answer["home_region"] });
            writeln!(self.journal.lock().unwrap_or_else(PoisonError::into_inner), "{line}").context("write the journal")?;
        }
        Ok(answer)
    }

    /// What has been answered so far.
    pub(super) fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What failed, by reason; times in seconds from `struck`.
    pub(super) fn failures(&self, struck: Instant) -> String {
        let since = |at: Instant| at.saturating_duration_since(struck).as_secs_f64() - struck.saturating_duration_since(at).as_secs_f64();
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |(reason, found): (&String, &Failures)| {
            format!("  {} due at {:.1} to {:.1} s: {reason}", found.count, since(found.first), since(found.last))
        };
        failures.iter().map(told).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_grows_and_then_stays() {
        let count = |from: u64, to: u64| {
            let is_within = |number: &u32| (Duration::from_secs(from)..Duration::from_secs(to)).contains(&due(*number, 1000));
            (0..40_000).filter(is_within).count()
        };
        assert!((20..=30).contains(&count(0, 1)), "{}", count(0, 1));
        assert!((970..=980).contains(&count(19, 20)), "{}", count(19, 20));
        assert!((999..=1001).contains(&count(20, 21)) && (999..=1001).contains(&count(30, 31)));
    }
}
