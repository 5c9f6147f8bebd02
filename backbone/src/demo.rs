//! `demo`: brings everything up, buys one thing in each region through the shop's own door, and shows what to look at.

mod shop;
mod shoppers;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use ids::Region;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    down,
    exit::Exit,
    home::Home,
    output::{line, megabytes, seconds, table},
    plan::{Place, Plan},
    state::State,
    status, up,
};
use shop::Shop;

/// How long an order may take from its acceptance to its parcel.
const SHIPPED_WITHIN: Duration = Duration::from_secs(60);
/// How long until the other region can show it.
const MIRRORED_WITHIN: Duration = Duration::from_secs(15);

/// Runs the demo. With `once` it ends after the table and leaves everything running.
///
/// # Errors
/// When something does not start or an order does not ship.
pub async fn run(options: &up::Options, once: bool) -> Result<Exit> {
    let home = Home::at(&options.home)?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hangup = signal(SignalKind::hangup())?;
    let show = async {
        if State::read(&home).is_none_or(|state| state.living_supervisor().is_none()) {
            let started = up::detached(options).await?;
            if started != Exit::Ok {
                return Ok(started);
            }
        }
        let plan = Plan::new(options.ports, options.brokers, false);
        let shop = Shop::at(plan.ports.url(Place::Global, "edge"))?;
        line("\nplacing one order in each region ...");
        let orders = try_join_all(Region::ALL.map(|region| buy(&shop, region))).await?;
        print_table(&home, &plan, &orders);
        if !once {
            line("\ngentle shoppers keep both regions busy; Ctrl-C stops everything");
            shoppers::run(&shop).await?;
        }
        Ok(Exit::Ok)
    };
    let outcome = tokio::select! {
        outcome = show => outcome,
        _ = interrupt.recv() => stop(&home).await,
        _ = terminate.recv() => stop(&home).await,
        _ = hangup.recv() => stop(&home).await,
    };
    if outcome.is_err() {
        line("the parts still run: `backbone status` and `backbone logs` show them, `backbone down` stops them");
    }
    outcome
}

async fn stop(home: &Home) -> Result<Exit> {
    line("");
    // Ctrl-C may come between the start of the supervisor and its first words.
    for _ in 0..20 {
        if State::read(home).is_some_and(|state| state.living_supervisor().is_some()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    down::down(home, false).await
}

/// An order that went all the way.
struct Shipped {
    region: Region,
    id: String,
    state: String,
    took: Duration,
    peer_state: String,
}

async fn buy(shop: &Shop, region: Region) -> Result<Shipped> {
    let session = format!("demo-{region}");
    let sku = shop.any_sku(region).await?;
    let begun = Instant::now();
    let id = shop.order(region, &session, &sku).await.with_context(|| format!("place an order in {region}"))?;
    let state = shop.until_final(region, &session, &id, SHIPPED_WITHIN).await?;
    let took = begun.elapsed();
    let peer_state = shop.until_final(region.peer(), &session, &id, MIRRORED_WITHIN).await?;
    Ok(Shipped { region, id, state, took, peer_state })
}

fn print_table(home: &Home, plan: &Plan, orders: &[Shipped]) {
    let ports = plan.ports;
    let edge = ports.url(Place::Global, "edge");
    let mut rows = vec![vec!["the shop".to_owned(), edge.clone()]];
    for region in Region::ALL {
        let (_, ui) = ports.temporal(region);
        rows.push(vec![format!("Temporal, {region}"), format!("http://127.0.0.1:{ui}")]);
    }
    let psp = ports.url(Place::Global, "psp");
    rows.push(vec!["payment provider".to_owned(), format!("{psp}/v1/charges?order_id={}", orders[0].id)]);
    for Shipped { region, id, state, took, peer_state } in orders {
        let text = format!("{id}  {state} in {}, seen from {} as {peer_state}", seconds(*took), region.peer());
        rows.push(vec![format!("order in {region}"), text]);
    }
    let report = status::report(home);
    rows.push(vec!["memory".to_owned(), format!("{} in {} parts", megabytes(report.rss_bytes), report.processes.len())]);
    line("");
    line(table(&rows));
    line("\nthree things to try next");
    line(format_args!("  1. open {edge}, buy something, and watch its status without a reload"));
    let order = report.processes.iter().find(|process| process.name == "order").and_then(|process| process.pid);
    let order = order.map_or_else(|| "<pid of order, from `backbone status`>".to_owned(), |pid| pid.to_string());
    line(format_args!("  2. kill -9 {order}, the order service of eu: it comes back, and every order still ends shipped or cancelled"));
    let kafka = ports.kafka(Region::Eu, 1).0;
    line(format_args!(
        "  3. kcat -b 127.0.0.1:{kafka} -t order.events -C -o -3 -e -f '%k %h\\n'   shows the last events with their headers"
    ));
}
