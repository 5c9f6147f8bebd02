//! `backbone spine replay`: moves a consumer back. It notices within seconds, without a restart.

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _};

use super::{Consumer, args};
use crate::{output::line, sources::Sources};

pub(super) async fn run(sources: &Sources, options: &args::Replay, as_json: bool) -> Result<()> {
    let args::Replay { region, consumer, from_time } = options;
    let consumer = Consumer::named(consumer)?;
    let Some(schema) = consumer.schema else {
        bail!("{} keeps no offsets of its own: it only tells open pages, and needs no replay", consumer.group);
    };
    let bootstrap = sources.kafka(*region).to_owned();
    let topics = spine::inspect::topics(bootstrap.clone()).await.with_context(|| format!("ask {region}/kafka"))?;
    let topic =
        topics.into_iter().find(|topic| topic.name == consumer.topic).with_context(|| format!("there is no topic {}", consumer.topic))?;
    let highs: i64 = topic.partitions.iter().map(|partition| partition.high).sum();
    let offsets = spine::inspect::offsets_at(bootstrap, topic, *from_time).await.context("look for the moment in the topic")?;
    let mut database = sources.connect(*region).await?;
    let sql = format!(
        "UPDATE \"{schema}\".consumer_offsets AS own SET next_offset = least(own.next_offset, new.next_offset)
         FROM unnest($3::int[], $4::bigint[]) AS new (partition, next_offset)
         WHERE own.consumer = $1 AND own.topic = $2 AND own.partition = new.partition"
    );
    let (partitions, nexts): (Vec<i32>, Vec<i64>) = offsets.iter().copied().unzip();
    let update = sqlx::query(AssertSqlSafe(sql)).bind(consumer.group).bind(consumer.topic).bind(partitions).bind(&nexts);
    update.execute(&mut database).await.context("move the consumer")?;
    let _ = database.close().await;
    let messages = highs - nexts.iter().sum::<i64>();
    if as_json {
        line(json!({ "region": region.as_str(), "consumer": consumer.group, "topic": consumer.topic, "messages": messages }));
    } else {
        line(format_args!("{} of {region} reads {messages} messages of {} again within 10 s", consumer.group, consumer.topic));
    }
    Ok(())
}
