//! Who may write where, from outside: LEASE-1 as an operator sees it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use testkit::eventually;
use tokio::time::sleep;

use crate::{
    faults::{healed, kill},
    market::{Market, print},
};

/// A lost region is taken over within this: its lease must end first, and the coordinator may have lost its leader with it.
const TAKEN_WITHIN: Duration = Duration::from_secs(20);
/// A region that is back has its home again within this: it catches up, and five seconds more.
const BACK_WITHIN: Duration = Duration::from_secs(60);

impl Market {
    /// `region ...`, which must work, as JSON.
    async fn region(&self, arguments: &[&str]) -> Result<Value> {
        let said = self.backbone(&[&["region", "--json"], arguments].concat()).await?;
        ensure!(said.code == 0, "{said:?}");
        serde_json::from_str(&said.text).with_context(|| format!("read {}", said.text))
    }

    /// The region that may write a home now, and its epoch: as that region says.
    async fn holder(&self, home: &str) -> Result<(String, u64, Value)> {
        let answer = self.region(&["status"]).await?;
        for region in answer.as_array().context("a list")? {
            for held in region["homes"].as_array().into_iter().flatten() {
                if held["home"] == home && held["holder"] == region["region"] && held["valid_ms"].as_u64() > Some(0) {
                    let holder = region["region"].as_str().context("a name")?.to_owned();
                    return Ok((holder, held["epoch"].as_u64().context("an epoch")?, held.clone()));
                }
            }
        }
        bail!("nobody holds {home}: {answer}")
    }

    /// Waits until a region holds a home, mirrored or not.
    async fn held_by(&self, home: &str, region: &str, within: Duration) -> u64 {
        eventually("the home is held", within, async || match self.holder(home).await? {
            (holder, epoch, _) if holder == region => Ok(epoch),
            other => bail!("{other:?}"),
        })
        .await
    }

    async fn mirrored(&self) {
        eventually("both homes are at home and mirrored", BACK_WITHIN, async || {
            for home in ["eu", "us"] {
                let (holder, _, held) = self.holder(home).await?;
                ensure!(holder == home && held["mode"] == "mirrored", "{held}");
            }
            Ok(())
        })
        .await;
    }
}

pub(crate) async fn each_region_holds_its_own_home(market: &Market) -> Result<()> {
    market.started().await?;
    market.mirrored().await;
    let said = market.backbone(&["region", "status"]).await?;
    ensure!(said.code == 0 && said.text.contains("HOLDS") && said.text.matches("mirrored").count() == 2, "{said:?}");
    Ok(())
}

pub(crate) async fn a_home_is_moved_and_given_back_by_hand(market: &Market) -> Result<()> {
    market.mirrored().await;
    let (_, mut before, _) = market.holder("eu").await?;
    // Right after one another: who has just got a home may be asked to give it back.
    for _ in 0..3 {
        let begun = Instant::now();
        let moved = market.region(&["failover", "eu"]).await?;
        let there = begun.elapsed().as_millis();
        ensure!(moved["holder"] == "us" && moved["epoch"].as_u64() > Some(before) && moved["pinned"] == true, "{moved}");
        let back = market.region(&["failback", "eu"]).await?;
        print(&format!("eu's home was in us after {there} ms, and back after {} ms", begun.elapsed().as_millis()));
        ensure!(back["holder"] == "eu" && back["epoch"].as_u64() > moved["epoch"].as_u64() && back["pinned"] == false, "{back}");
        before = back["epoch"].as_u64().context("an epoch")?;
    }
    market.mirrored().await;
    Ok(())
}

pub(crate) async fn a_drained_region_holds_nothing(market: &Market) -> Result<()> {
    market.mirrored().await;
    market.region(&["drain", "us"]).await?;
    market.held_by("us", "eu", TAKEN_WITHIN).await;
    market.region(&["undrain", "us"]).await?;
    market.held_by("us", "us", BACK_WITHIN).await;
    market.mirrored().await;
    Ok(())
}

pub(crate) async fn a_region_that_is_kept_down_is_taken_over_and_gets_its_home_back(market: &Market) -> Result<()> {
    market.mirrored().await;
    let (_, before, _) = market.holder("eu").await?;
    let begun = Instant::now();
    let down = async {
        // The supervisor brings them back, and they are killed again.
        loop {
            let running = market.processes().await?;
            for process in
                running.iter().filter(|process| process.region == "eu" && ["region", "coordinator", "postgres"].contains(&&*process.name))
            {
                kill(process.pid)?;
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    let epoch = tokio::select! {
        epoch = market.held_by("eu", "us", TAKEN_WITHIN) => epoch,
        ended = down => return ended,
    };
    print(&format!("eu was taken over after {} ms", begun.elapsed().as_millis()));
    ensure!(epoch > before, "{epoch} after {before}");
    healed(market).await;
    let back = market.held_by("eu", "eu", BACK_WITHIN).await;
    ensure!(back > epoch, "{back} after {epoch}");
    market.mirrored().await;
    market.verify(&["--wait", "120s"]).await
}
