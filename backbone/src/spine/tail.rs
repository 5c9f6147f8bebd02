//! `backbone spine tail`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use spine::Delivery;
use time::format_description::well_known::Rfc3339;

use super::{args, payload::Messages};
use crate::{output::try_line, sources::Sources};

pub(super) async fn print(sources: &Sources, options: &args::Tail, as_json: bool) -> Result<()> {
    let bootstrap = sources.kafka(options.region).to_owned();
    let topics = spine::inspect::topics(bootstrap.clone()).await.with_context(|| format!("ask {}/kafka", options.region))?;
    let Some(topic) = topics.iter().find(|topic| topic.name == options.topic) else {
        let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        bail!("there is no topic '{}': {}", options.topic, names.join(", "));
    };
    let ends = topic.partitions.iter().map(|partition| (partition.id, partition.high));
    let from: BTreeMap<i32, i64> = if options.from_beginning { BTreeMap::new() } else { ends.collect() };
    let mut tail = spine::Tail::open(bootstrap, &options.topic, from).await.context("read the topic")?;
    let messages = Messages::new()?;
    let mut left = options.count;
    // What was there at the beginning has an end; what comes has none.
    while left != Some(0) && !(options.from_beginning && tail.is_caught_up()) {
        let next = tokio::select! {
            next = tail.next() => next.context("read the topic")?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let Some(delivery) = next.filter(|delivery| options.key.as_ref().is_none_or(|key| *key == delivery.key)) else { continue };
        if try_line(show(&delivery, &messages, as_json)).is_err() {
            return Ok(());
        }
        left = left.map(|left| left - 1);
    }
    Ok(())
}

fn show(delivery: &Delivery, messages: &Messages, as_json: bool) -> String {
    let time = delivery.time.and_then(|time| time.format(&Rfc3339).ok());
    let data = messages.json(&delivery.kind, &delivery.payload);
    if as_json {
        let place = json!({ "partition": delivery.partition, "offset": delivery.offset });
        let event =
            json!({ "id": delivery.event_id, "type": delivery.kind, "key": delivery.key, "time": time, "place": place, "data": data });
        return event.to_string();
    }
    let data = data.map_or_else(|| format!("{} bytes that are no such event", delivery.payload.len()), |data| data.to_string());
    let time = time.unwrap_or_else(|| "-".to_owned());
    format!("{time}  {}/{}  {}  {}  {data}", delivery.partition, delivery.offset, delivery.kind, delivery.key)
}
