//! Reservations each second by 64 callers of `inventory.v1/Reserve`: all of one SKU, against as many SKUs as callers.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use ids::Region;
use proto::{
    inventory::v1::{Item, PutItemRequest, ReserveRequest, inventory_service_client::InventoryServiceClient},
    market::v1::{Line, Money},
};
use tokio::{task::JoinSet, time::Instant};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use super::{
    bed::Bed,
    measure::{Cpu, Latencies},
    report::{Claim, Report, Series, Target},
};
use crate::output::problem;

const CALLERS: usize = 64;
const CONNECTIONS: usize = 8;
const LENGTH: Duration = Duration::from_secs(5);
const REGION: Region = Region::Eu;

/// Measures.
pub(super) async fn run(bed: &Bed, rounds: usize) -> Result<Report> {
    let question = "How many units of one SKU can be reserved a second, and how many when every caller wants another SKU?";
    let mut report = Report::new("stock", question);
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let endpoint = Endpoint::from_shared(bed.url(REGION, "inventory"))?;
        clients.push(InventoryServiceClient::new(endpoint.connect().await.context("connect to eu's inventory")?));
    }
    let (hot, spread): (Vec<_>, Vec<_>) = (0..CALLERS).map(|caller| ("BENCH-HOT".to_owned(), format!("BENCH-{caller:02}"))).unzip();
    for sku in spread.iter().chain(hot.first()) {
        put(&mut clients[0], sku).await?;
    }
    // Statements are prepared and caches are filled.
    reserve(&clients, &spread).await?;
    let (mut hot_rates, mut spread_rates, mut hot_p50, mut hot_p99, mut spread_p50) = (vec![], vec![], vec![], vec![], vec![]);
    for round in 1..=rounds {
        let before = Cpu::of(&bed.processes());
        let (rate, mut latencies) = reserve(&clients, &hot).await?;
        let used = Cpu::of(&bed.processes()).since(&before);
        let (spread_rate, mut spread_latencies) = reserve(&clients, &spread).await?;
        let used: Vec<_> = used.iter().take(6).map(|(name, seconds)| format!("{name} {seconds:.1}")).collect();
        problem(format_args!(
            "round {round}: one SKU {rate:.0}/s, {CALLERS} SKUs {spread_rate:.0}/s; CPU seconds of one SKU: {}",
            used.join(", ")
        ));
        hot_rates.push(rate);
        spread_rates.push(spread_rate);
        hot_p50.push(latencies.ms(0.5));
        hot_p99.push(latencies.ms(0.99));
        spread_p50.push(spread_latencies.ms(0.5));
    }
    let hot = Series::new("reserved, one SKU", "orders/s", hot_rates);
    let spread = Series::new(format!("reserved, {CALLERS} SKUs"), "orders/s", spread_rates);
    report.claims.push(Claim::new("one SKU / many", hot.ratio_to(&spread), Target::AtLeast(0.8)));
    report.series = vec![
        hot,
        spread,
        Series::new("one SKU, p50", "ms", hot_p50),
        Series::new("one SKU, p99", "ms", hot_p99),
        Series::new(format!("{CALLERS} SKUs, p50"), "ms", spread_p50),
    ];
    report.conditions = vec![format!(
        "{CALLERS} callers on {CONNECTIONS} connections, one unit a reservation, {} s each; fsync on; the events go to Kafka meanwhile",
        LENGTH.as_secs()
    )];
    Ok(report)
}

async fn put(client: &mut InventoryServiceClient<Channel>, sku: &str) -> Result<()> {
    let item = Item {
        sku: sku.to_owned(),
        title: sku.to_owned(),
        description: String::new(),
        category: "bench".to_owned(),
        price: Some(Money { amount_minor: 100, currency: "EUR".to_owned() }),
        in_stock: 0,
    };
    let request = PutItemRequest { item: Some(item), initial_stock: 100_000_000, idempotency_key: format!("bench/{sku}") };
    client.put_item(request).await.with_context(|| format!("put {sku}"))?;
    Ok(())
}

/// One round: reservations a second, and how long each took. Each caller wants its own of `skus`.
async fn reserve(clients: &[InventoryServiceClient<Channel>], skus: &[String]) -> Result<(f64, Latencies)> {
    let (begun, mut callers) = (Instant::now(), JoinSet::new());
    for (caller, sku) in skus.iter().cloned().map(Arc::<str>::from).enumerate() {
        let mut client = clients[caller % clients.len()].clone();
        callers.spawn(async move {
            let mut times = Vec::new();
            while begun.elapsed() < LENGTH {
                let order_id = Uuid::now_v7().to_string();
                let idempotency_key = format!("{order_id}/reserve");
                let lines = vec![Line { sku: sku.to_string(), quantity: 1 }];
                let request = ReserveRequest { order_id, lines, idempotency_key, ..ReserveRequest::default() };
                let asked = Instant::now();
                client.reserve(request).await.context("reserve")?;
                times.push(asked.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut latencies = Latencies::default();
    while let Some(times) = callers.join_next().await {
        latencies.extend(times??);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of seconds of reservations")]
    let rate = latencies.len() as f64 / begun.elapsed().as_secs_f64();
    Ok((rate, latencies))
}
