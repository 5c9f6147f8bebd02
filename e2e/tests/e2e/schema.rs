//! A service's tables are changed in both regions while orders come: expand, use, contract.

use std::{
    fs::{create_dir_all, read_to_string, write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use testkit::eventually;
use tokio::time::sleep;

use crate::{
    market::{Market, print},
    shoppers::Traffic,
};

const EXPAND: &str = "ALTER TABLE orders ADD COLUMN gift_note text;
    ALTER TABLE order_lines ADD COLUMN is_wrapped boolean NOT NULL DEFAULT false;";
const CONTRACT: &str = "ALTER TABLE orders DROP COLUMN gift_note; ALTER TABLE order_lines DROP COLUMN is_wrapped;";
/// Each row would be written anew, and in each region with another value.
const COSTLY: &str = "ALTER TABLE orders ADD COLUMN lot uuid NOT NULL DEFAULT gen_random_uuid();";
const NONSENSE: &str = "ALTER TABLE order_lines ADD COLUMN colour text; ALTER TABLE no_such_table ADD COLUMN colour text;";
/// Cannot be tried, as what runs outside of a transaction is not undone.
const NEW_TABLE: &str = "-- no-transaction
    CREATE TABLE gift_cards (card uuid PRIMARY KEY); ALTER PUBLICATION order_mirror ADD TABLE gift_cards;";
const OLD_TABLE: &str = "DROP TABLE gift_cards;";

/// No change may hold traffic up for longer.
const FLOWS_WITHIN: Duration = Duration::from_secs(2);
const MIRRORED_WITHIN: Duration = Duration::from_secs(10);
/// Less than a change waits for its locks, and longer than it takes from one region to the other.
const WRITES_FOR: Duration = Duration::from_millis(200);
const SLOW_WRITERS: usize = 4;

impl Market {
    /// A folder with one migration.
    fn migration(&self, version: u32, sql: &str) -> Result<PathBuf> {
        let folder = self.home().join(format!("migrations-{version}"));
        create_dir_all(&folder)?;
        write(folder.join(format!("{version}_change.sql")), sql)?;
        Ok(folder)
    }

    async fn schema(&self, folder: &Path) -> Result<Value> {
        let folder = folder.to_str().context("paths are text")?;
        let said = self.backbone(&["schema", "--json", "apply", "order", folder]).await?;
        ensure!(said.code == 0, "{said:?}");
        serde_json::from_str(&said.text).with_context(|| format!("read {}", said.text))
    }

    async fn schema_is_refused(&self, folder: &Path, because: &str) -> Result<()> {
        let folder = folder.to_str().context("paths are text")?;
        let said = self.backbone(&["schema", "apply", "order", folder]).await?;
        ensure!(said.code == 1 && said.text.contains(because), "{said:?}");
        Ok(())
    }

    /// The second can only be where the first has been.
    async fn migrations_are_tried_one_after_the_other(&self) -> Result<()> {
        let folder = self.migration(8001, EXPAND)?;
        write(folder.join("8002_change.sql"), CONTRACT)?;
        let said = self.backbone(&["schema", "apply", "order", folder.to_str().context("paths are text")?, "--dry-run"]).await?;
        ensure!(said.code == 0 && said.text.matches("would be applied in eu and us").count() == 2, "{said:?}");
        Ok(())
    }
}

/// The newest order of `home` gets a note in its own region, and the other one has it too.
async fn a_note_is_mirrored(home: &str, own: &mut PgConnection, other: &mut PgConnection) -> Result<()> {
    let noted = "UPDATE \"order\".orders SET gift_note = $1 WHERE order_id =
                     (SELECT order_id FROM \"order\".orders WHERE home_region = $1 ORDER BY placed_at DESC LIMIT 1) RETURNING order_id";
    let id: sqlx::types::Uuid = sqlx::query_scalar(noted).bind(home).fetch_one(own).await.context("write a note")?;
    eventually("the note is in the other region", MIRRORED_WITHIN, async || {
        let note: Option<String> =
            sqlx::query_scalar("SELECT gift_note FROM \"order\".orders WHERE order_id = $1").bind(id).fetch_one(&mut *other).await?;
        if note.as_deref() == Some(home) { Ok(()) } else { bail!("{note:?} in order {id}") }
    })
    .await;
    Ok(())
}

/// What a transaction wrote before a column goes is in the other region before the column goes there.
async fn contracted_beside_slow_writers(market: &Market, contract: &Path) -> Result<()> {
    let is_done = AtomicBool::new(false);
    let contracted = async {
        let contracted = market.schema(contract).await;
        is_done.store(true, Ordering::Relaxed);
        contracted
    };
    let (contracted, written) =
        tokio::join!(contracted, try_join_all((0..SLOW_WRITERS).map(|number| slow_writer(market, number, &is_done))));
    let transactions: usize = written?.iter().sum();
    ensure!(transactions >= SLOW_WRITERS, "{transactions} transactions");
    contracted.map(drop)
}

/// One transaction after the other that writes to an order of us and takes its time, and how many there were.
async fn slow_writer(market: &Market, number: usize, is_done: &AtomicBool) -> Result<usize> {
    const WRITE: &str = "UPDATE \"order\".orders SET state = state WHERE order_id =
                             (SELECT order_id FROM \"order\".orders WHERE home_region = 'us' AND state = 'shipped' ORDER BY placed_at OFFSET $1 LIMIT 1)";
    let (mut us, mut transactions) = (market.database("us").await?, 0);
    while !is_done.load(Ordering::Relaxed) {
        let mut writer = us.begin().await?;
        let rows = sqlx::query(WRITE).bind(i64::try_from(number)?).execute(&mut *writer).await?.rows_affected();
        ensure!(rows == 1, "{rows} orders were written to");
        sleep(WRITES_FOR).await;
        writer.commit().await?;
        transactions += 1;
    }
    Ok(transactions)
}

/// A run is broken off between the regions by something that is in the way of a new mirrored table in us, and finished when that is gone.
async fn a_run_that_was_broken_off_is_finished(market: &Market, eu: &mut PgConnection, us: &mut PgConnection) -> Result<()> {
    let new_table = market.migration(9005, NEW_TABLE)?;
    sqlx::raw_sql("CREATE TABLE \"order\".gift_cards ()").execute(&mut *us).await?;
    market.schema_is_refused(&new_table, "gift_cards").await?;
    sqlx::raw_sql("DROP TABLE \"order\".gift_cards").execute(&mut *us).await?;
    let finished = market.schema(&new_table).await?;
    ensure!(finished["applied"][0]["regions"] == serde_json::json!(["us"]), "{finished}");
    for connection in [eu, us] {
        let published: Vec<String> =
            sqlx::query_scalar("SELECT tablename::text FROM pg_publication_tables WHERE pubname = 'order_mirror' ORDER BY 1")
                .fetch_all(connection)
                .await?;
        ensure!(published == ["gift_cards", "order_lines", "orders"], "{published:?}");
    }
    market.schema(&market.migration(9006, OLD_TABLE)?).await?;
    Ok(())
}

pub(crate) async fn a_table_is_changed_in_both_regions_while_orders_come(market: &Market) -> Result<()> {
    market.started().await?;
    let (expand, contract) = (market.migration(9001, EXPAND)?, market.migration(9002, CONTRACT)?);
    let (costly, nonsense) = (market.migration(9003, COSTLY)?, market.migration(9004, NONSENSE)?);
    let (mut eu, mut us) = (market.database("eu").await?, market.database("us").await?);
    let shop = market.shop().await?;
    let journal = market.home().join("schema.ndjson");
    let traffic = Traffic::new(shop.clone(), vec![shop.any_sku().await?], Some(&journal))?;
    let change = async {
        traffic.until(20).await;
        market.schema_is_refused(&costly, "writes all rows of \"order\".orders anew").await?;
        market.schema_is_refused(&nonsense, "no_such_table").await?;
        market.migrations_are_tried_one_after_the_other().await?;
        let expanded = market.schema(&expand).await?;
        ensure!(expanded["applied"][0]["regions"] == serde_json::json!(["eu", "us"]), "{expanded}");
        traffic.until(traffic.placed() + 20).await;
        a_note_is_mirrored("eu", &mut eu, &mut us).await?;
        a_note_is_mirrored("us", &mut us, &mut eu).await?;
        let again = market.schema(&expand).await?;
        ensure!(again["applied"].as_array().is_some_and(Vec::is_empty), "{again}");
        contracted_beside_slow_writers(market, &contract).await?;
        a_run_that_was_broken_off_is_finished(market, &mut eu, &mut us).await?;
        traffic.until(traffic.placed() + 20).await;
        traffic.stop();
        anyhow::Ok(())
    };
    let (flowed, changed) = tokio::join!(traffic.flow(), change);
    changed?;
    flowed?;
    let spans = traffic.per(FLOWS_WITHIN);
    print(&format!("orders in each {FLOWS_WITHIN:?} while tables changed: {spans:?}"));
    ensure!(spans.iter().all(|orders| *orders > 0), "traffic stood still: {spans:?}");
    let said = market.backbone(&["schema", "list"]).await?;
    ensure!(said.code == 0 && said.text.contains("9002"), "{said:?}");
    market.verify(&["--journal", journal.to_str().context("paths are text")?]).await
}
