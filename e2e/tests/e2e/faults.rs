//! ORDER-1, PAY-1 and STOCK-2 from outside, whatever dies.

use std::{net::TcpListener, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use testkit::eventually;

use crate::{
    market::{Market, Process, print},
    shoppers::Traffic,
};

/// Also where processors are few and slow: a broker of Kafka that shares one with all others needs a minute to come back.
const HEALS_WITHIN: Duration = Duration::from_secs(120);

pub(crate) fn kill(pid: i32) -> Result<()> {
    let pid = Pid::from_raw(pid).context("a pid")?;
    match kill_process(pid, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn runs(process: &Process) -> bool {
    Pid::from_raw(process.pid).is_some_and(|pid| test_kill_process(pid).is_ok())
}

/// Waits until everything runs and answers.
pub(crate) async fn healed(market: &Market) {
    let look = async || match market.status().await?["state"].as_str() {
        Some("ready") => Ok(()),
        state => bail!("{state:?}"),
    };
    eventually("the market is ready again", HEALS_WITHIN, look).await;
}

pub(crate) async fn a_region_that_is_gone_is_served_by_the_other(market: &Market) -> Result<()> {
    let shop = market.shop().await?;
    let doors = [market.process("eu", "bff").await?, market.process("eu", "order").await?];
    for door in &doors {
        kill(door.pid)?;
    }
    // From the first request on; the supervisor needs longer than that to bring the region back.
    for _ in 0..5 {
        let answer = shop.get("/api/items").await?;
        ensure!(answer.status == StatusCode::OK, "{answer:?}");
    }
    healed(market).await;
    let back = async || match shop.get("/api/items").await? {
        answer if answer.served_by == "eu" => Ok(()),
        answer => bail!("served by {}", answer.served_by),
    };
    eventually("eu serves again", HEALS_WITHIN, back).await;
    Ok(())
}

/// Every acknowledged order is there, in both regions, has ended, and its money with it.
async fn audit(market: &Market, ids: &[String]) -> Result<()> {
    let (shop, psp) = (market.shop().await?, market.process("global", "psp").await?.port);
    let (eu, us) = (shop.in_region("eu"), shop.in_region("us"));
    let mut shipped = 0;
    for chunk in ids.chunks(16) {
        let ended = try_join_all(chunk.iter().map(|id| async {
            let order = eu.ended(id).await?;
            let seen = us.ended(id).await?;
            ensure!(order["state"] == seen["state"], "eu: {order} us: {seen}");
            Ok((order, eu.charges(psp, id).await?))
        }))
        .await?;
        for (order, charges) in ended {
            is_settled(&order, &charges)?;
            shipped += usize::from(order["state"] == "shipped");
        }
    }
    print(&format!("audited {} acknowledged orders: {shipped} shipped, {} cancelled", ids.len(), ids.len() - shipped));
    ensure!(shipped > 0, "something was sold");
    market.verify(&[]).await
}

fn is_settled(order: &Value, charges: &[Value]) -> Result<()> {
    if order["state"] == "shipped" {
        ensure!(charges.len() == 1 && charges[0]["state"] == "captured", "{order} {charges:?}");
        ensure!(charges[0]["amount_minor"] == order["total"]["amount_minor"], "{order} {charges:?}");
    } else {
        let is_free = |charge: &Value| charge["state"] == "voided" || charge["state"] == "refunded";
        ensure!(charges.iter().all(is_free), "a cancelled order holds no money: {order} {charges:?}");
    }
    Ok(())
}

pub(crate) async fn services_that_die_in_traffic_lose_no_order(market: &Market) -> Result<()> {
    const VICTIMS: [(&str, &str); 8] = [
        ("eu", "order"),
        ("us", "payment"),
        ("global", "psp"),
        ("eu", "inventory"),
        ("us", "temporal"),
        ("eu", "kafka"),
        ("us", "postgres"),
        ("global", "edge"),
    ];
    let shop = market.shop().await?;
    let traffic = Traffic::new(shop.clone(), vec![shop.any_sku().await?], None)?;
    let strike = async {
        for (number, (region, name)) in VICTIMS.into_iter().enumerate() {
            traffic.until(10 * (number + 1)).await;
            kill(market.process(region, name).await?.pid)?;
            eventually("it was noticed", HEALS_WITHIN, async || match market.process(region, name).await {
                Ok(process) if runs(&process) => Ok(()),
                other => bail!("{other:?}"),
            })
            .await;
        }
        healed(market).await;
        traffic.until(traffic.placed() + 10).await;
        traffic.stop();
        anyhow::Ok(())
    };
    let (flowed, struck) = tokio::join!(traffic.flow(), strike);
    struck?;
    flowed?;
    audit(market, &traffic.acknowledged()).await
}

pub(crate) async fn after_a_kill_of_everything_every_order_ends(market: &Market) -> Result<()> {
    let shop = market.shop().await?;
    let traffic = Traffic::new(shop.clone(), vec![shop.any_sku().await?], None)?;
    let strike = async {
        traffic.until(40).await;
        // The supervisor first: nobody is left to start anything again.
        let supervisor = market.status().await?["supervisor_pid"].as_i64().context("a supervisor")?;
        let processes = market.processes().await?;
        kill(supervisor.try_into()?)?;
        for process in &processes {
            kill(process.pid)?;
        }
        traffic.stop();
        eventually("everything is dead", HEALS_WITHIN, async || match processes.iter().filter(|process| runs(process)).count() {
            0 => Ok(()),
            left => Err(format!("{left} processes")),
        })
        .await;
        let said = market.up().await?;
        print(said.text.lines().find(|line| line.starts_with("ready in ")).unwrap_or("ready"));
        anyhow::Ok(())
    };
    let (flowed, struck) = tokio::join!(traffic.flow(), strike);
    struck?;
    flowed?;
    audit(market, &traffic.acknowledged()).await
}

pub(crate) async fn down_leaves_no_process_and_no_port(market: &Market) -> Result<()> {
    let processes = market.processes().await?;
    let said = market.backbone(&["down"]).await?;
    ensure!(said.code == 0, "{said:?}");
    for process in &processes {
        ensure!(!runs(process), "{process:?} still runs");
        for port in [process.port, process.port + 500] {
            TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("port {port} of {process:?}"))?;
        }
    }
    let status = market.backbone(&["status"]).await?;
    ensure!(status.code == 3, "{status:?}");
    ensure!(market.home().join("data").exists(), "the data stays");
    let purged = market.backbone(&["down", "--purge"]).await?;
    ensure!(purged.code == 0 && !market.home().join("data").exists(), "{purged:?}");
    Ok(())
}
