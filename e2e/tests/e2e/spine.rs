//! `backbone spine`: looking at the topics, and mending what a consumer could not apply.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use testkit::{Kafka, eventually};
use tokio::{io::AsyncWriteExt as _, process::Command};
use uuid::Uuid;

use crate::market::Market;

async fn spine(market: &Market, arguments: &[&str]) -> Result<Vec<Value>> {
    let said = market.backbone(&[&["spine", "--json"], arguments].concat()).await?;
    ensure!(said.code == 0, "{arguments:?}: {}", said.text);
    said.text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

async fn letters(market: &Market, key: &str) -> Result<Vec<Value>> {
    let said = spine(market, &["dlq", "list", "--region", "eu"]).await?;
    let letters = said.first().and_then(|said| said["letters"].as_array()).context("a list of letters")?;
    Ok(letters.iter().filter(|letter| letter["key"] == key).cloned().collect())
}

async fn eventually_letters(market: &Market, key: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} letters wait"), Duration::from_secs(30), async || {
        let letters = letters(market, key).await?;
        if letters.len() == count { Ok(letters) } else { bail!("{letters:?}") }
    })
    .await
}

/// Publishes an `order.placed` that nobody can read, as any client could.
async fn poison(market: &Market, key: &str) -> Result<()> {
    let broker = format!("127.0.0.1:{}", market.process("eu", "kafka").await?.port);
    let id = format!("ce_id={}", Uuid::now_v7());
    let mut command = Command::new("kcat");
    command.args(["-P", "-b", &broker, "-t", "order.events", "-k", key, "-H", &id, "-H", "ce_type=order.placed"]);
    let mut child = command.stdin(Stdio::piped()).spawn().context("kcat is a Debian package")?;
    child.stdin.take().context("its input")?.write_all(b"\xff\xff no such order").await?;
    ensure!(child.wait().await?.success(), "kcat failed");
    Ok(())
}

pub(crate) async fn topics_lag_and_events_can_be_seen(market: &Market) -> Result<()> {
    let door = market.door("eu").await?;
    let id = door.buy(&door.any_sku().await?, "tok_visa").await?;
    door.shipped(&id).await?;
    let topics = spine(market, &["topics"]).await?;
    let topics = topics.first().and_then(|said| said["topics"].as_array()).context("a list of topics")?;
    ensure!(
        topics.iter().filter(|topic| topic["topic"] == "order.events" && topic["messages"].as_i64() > Some(0)).count() == 2,
        "{topics:?}"
    );

    eventually("nobody is behind", Duration::from_secs(20), async || {
        let said = spine(market, &["lag", "--region", "eu"]).await?;
        let lag = said.first().context("an answer")?;
        let (consumers, outboxes) = (lag["consumers"].as_array().context("consumers")?, lag["outboxes"].as_array().context("outboxes")?);
        ensure!(consumers.len() == 4 && outboxes.len() == 4, "{lag}");
        ensure!(consumers.iter().all(|consumer| consumer["waiting"] == 0), "{lag}");
        ensure!(outboxes.iter().all(|outbox| outbox["is_read"] == true), "{lag}");
        Ok(())
    })
    .await;

    let events = spine(market, &["tail", "order.events", "--region", "eu", "--from-beginning", "--key", &id]).await?;
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    ensure!(kinds == ["order.placed", "order.confirmed", "order.shipped"], "{kinds:?}");
    ensure!(events[0]["data"]["orderId"] == id.as_str(), "{}", events[0]);

    let unknown = market.backbone(&["spine", "tail", "nonsense"]).await?;
    ensure!(unknown.code == 1 && unknown.text.contains("order.events"), "{}", unknown.text);
    Ok(())
}

pub(crate) async fn a_consumer_that_is_told_to_read_again_applies_nothing_twice(market: &Market) -> Result<()> {
    let said = spine(market, &["replay", "--region", "eu", "--consumer", "inventory", "--from-time", "2026-01-01T00:00:00Z"]).await?;
    ensure!(said.first().is_some_and(|said| said["messages"].as_i64() > Some(0)), "{said:?}");
    eventually("it has read everything again", Duration::from_secs(40), async || {
        let lag = spine(market, &["lag", "--region", "eu"]).await?;
        let consumers = lag.first().and_then(|lag| lag["consumers"].as_array()).context("consumers")?;
        let inventory = consumers.iter().find(|consumer| consumer["consumer"] == "inventory").context("inventory")?;
        ensure!(inventory["waiting"] == 0, "{inventory}");
        Ok(())
    })
    .await;
    market.verify(&["--wait", "60s"]).await
}

pub(crate) async fn every_event_comes_again_with_the_keys_in_reverse_and_nothing_changes(market: &Market) -> Result<()> {
    const TOPICS: [&str; 5] = ["order.events", "payment.events", "inventory.events", "inventory.item", "cart.events"];
    let mut orders = Vec::new();
    for region in ["eu", "us"] {
        let door = market.door(region).await?;
        for token in ["tok_visa", "tok_decline"] {
            let id = door.buy(&door.any_sku().await?, token).await?;
            orders.push((door.clone(), door.ended(&id).await?, id));
        }
    }
    for region in ["eu", "us"] {
        let kafka = Kafka::at(market.process(region, "kafka").await?.port);
        for topic in TOPICS {
            kafka.repeat_by_key_backwards(topic).await;
        }
    }
    eventually("everything was heard", Duration::from_secs(60), async || {
        for region in ["eu", "us"] {
            let lag = spine(market, &["lag", "--region", region]).await?;
            let consumers = lag.first().and_then(|lag| lag["consumers"].as_array()).context("consumers")?;
            ensure!(consumers.iter().all(|consumer| consumer["waiting"] == 0), "{consumers:?}");
        }
        Ok(())
    })
    .await;
    for (door, order, id) in &orders {
        let now = door.ended(id).await?;
        ensure!(now == *order, "{order} became {now}");
    }
    // One charge and one sale each, and no event but those that were there.
    market.verify(&["--wait", "60s"]).await
}

pub(crate) async fn a_poisoned_message_is_put_aside_replayed_and_dropped(market: &Market) -> Result<()> {
    let key = Uuid::now_v7().to_string();
    poison(market, &key).await?;
    poison(market, &key).await?;
    let letters = eventually_letters(market, &key, 2).await;
    let (first, second) = (&letters[0], &letters[1]);
    ensure!(first["consumer"] == "cart" && first["cause"].as_str().is_some_and(|cause| cause.contains("read order.placed")), "{first}");
    ensure!(second["cause"].as_str().is_some_and(|cause| cause.contains("earlier message")), "{second}");

    // Replayed, it is poison still: it comes back under a new place.
    let name = first["letter"].as_str().context("a name")?;
    spine(market, &["dlq", "replay", name]).await?;
    eventually("it came back", Duration::from_secs(30), async || {
        let again = self::letters(market, &key).await?;
        ensure!(again.len() == 2 && again.iter().all(|letter| letter["letter"] != name), "{again:?}");
        Ok(())
    })
    .await;

    for letter in self::letters(market, &key).await? {
        let name = letter["letter"].as_str().context("a name")?;
        let shown = spine(market, &["dlq", "show", name]).await?;
        ensure!(shown.first().is_some_and(|shown| shown["bytes"].as_i64() > Some(0)), "{shown:?}");
        spine(market, &["dlq", "drop", name]).await?;
    }
    eventually_letters(market, &key, 0).await;
    let gone = market.backbone(&["spine", "dlq", "show", "eu/order.events/99999"]).await?;
    ensure!(gone.code == 1 && gone.text.contains("no letter"), "{}", gone.text);
    Ok(())
}
