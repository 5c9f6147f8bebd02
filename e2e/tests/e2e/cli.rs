//! The command line as a user meets it.

use std::net::TcpListener;

use anyhow::{Context as _, Result, ensure};
use reqwest::Client;

use crate::market::{Market, print};

/// Two regions of four engines and seven services, two services outside, the links, and three sites of the coordinator.
const PROCESSES: usize = 28;
/// What two regions may take in all.
const MEMORY: u64 = 3_000_000_000;

pub(crate) async fn up_tells_of_every_part_and_when_it_was_ready(market: &Market) -> Result<()> {
    let said = market.started().await?;
    for process in market.processes().await? {
        let line = format!("{}/{}", process.region, process.name);
        ensure!(
            said.text.lines().any(|told| told.trim().starts_with(&line) && told.contains("ready")),
            "no line for {line} in:\n{}",
            said.text
        );
    }
    let ready = said.text.lines().find(|line| line.starts_with("ready in ")).context("up says how long it took")?;
    print(&format!("up: {ready}"));
    ensure!(said.text.contains("the shop: http://127.0.0.1:"), "up names the shop's address");
    Ok(())
}

pub(crate) async fn status_knows_every_process(market: &Market) -> Result<()> {
    market.started().await?;
    let status = market.status().await?;
    let processes = status["processes"].as_array().context("a list")?;
    ensure!(processes.len() == PROCESSES, "{} processes", processes.len());
    for process in processes {
        for number in ["pid", "port", "rss_bytes"] {
            ensure!(process[number].as_u64() > Some(0), "{number} of {process}");
        }
        ensure!(process["uptime_s"].is_u64() && process["state"] == "ready", "{process}");
    }
    let memory = status["rss_bytes"].as_u64().context("the sum")?;
    print(&format!("memory of two regions: {} MB", memory / 1_000_000));
    ensure!(memory < MEMORY, "{memory} bytes");
    Ok(())
}

pub(crate) async fn a_second_up_is_refused(market: &Market) -> Result<()> {
    market.started().await?;
    let said = market.backbone(&["up", "--detach"]).await?;
    ensure!(said.code == 1 && said.text.contains("already running") && said.text.contains("backbone down"), "{said:?}");
    Ok(())
}

pub(crate) async fn a_taken_port_is_named_and_nothing_is_started(market: &Market) -> Result<()> {
    const SHIFT: u16 = 7_500;
    let _holder = TcpListener::bind(("127.0.0.1", 21_104 + SHIFT)).context("hold the order service's port")?;
    let home = market.home().with_extension("other");
    let said = market.backbone_with(&["up", "--detach"], &home, SHIFT).await?;
    ensure!(said.code == 69, "exit code 69 was expected: {said:?}");
    ensure!(said.text.contains("28604") && said.text.contains("BACKBONE_PORT_SHIFT"), "{}", said.text);
    let status = market.backbone_with(&["status"], &home, SHIFT).await?;
    ensure!(status.code == 3, "nothing runs: {status:?}");
    market.backbone_with(&["down", "--purge"], &home, SHIFT).await?;
    ensure!(!home.exists(), "{} is removed", home.display());
    Ok(())
}

pub(crate) async fn every_service_has_metrics_and_is_ready(market: &Market) -> Result<()> {
    const ENGINES: [&str; 4] = ["postgres", "kafka", "temporal", "nats"];
    let http = Client::builder().no_proxy().build()?;
    for process in market.processes().await?.iter().filter(|process| !ENGINES.contains(&process.name.as_str())) {
        let at = |path: &str| format!("http://127.0.0.1:{}{path}", process.port + 500);
        let ready = http.get(at("/readyz")).send().await?;
        ensure!(ready.status().is_success(), "{}/{}: {}", process.region, process.name, ready.text().await?);
        let metrics = http.get(at("/metrics")).send().await?.text().await?;
        let own = format!("market_{}_", process.name);
        ensure!(metrics.contains(&own), "{}/{} has no metric {own}*:\n{metrics}", process.region, process.name);
    }
    Ok(())
}
