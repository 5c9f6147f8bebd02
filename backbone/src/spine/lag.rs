//! `backbone spine lag`: messages that wait for their consumers, and WAL that waits for the outbox relays.

use anyhow::{Context as _, Result};
use ids::Region;
use serde_json::json;
use spine::inspect::Topic;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{CONSUMERS, Consumer};
use crate::{
    output::{line, table},
    sources::Sources,
};

/// Offsets that a consumer wants next, per partition.
type Offsets = Vec<(i32, Option<i64>)>;

#[derive(Debug, sqlx::FromRow)]
struct Slot {
    slot_name: String,
    active: bool,
    state: String,
    lag_bytes: i64,
}

pub(super) async fn print(sources: &Sources, regions: &[Region], as_json: bool) -> Result<()> {
    let mut consumers = vec![["REGION", "CONSUMER", "TOPIC", "WAITING", "DEAD LETTERS"].map(str::to_owned).to_vec()];
    let mut outboxes = vec![["REGION", "OUTBOX", "READ", "STATE", "WAL BEHIND"].map(str::to_owned).to_vec()];
    let (mut consumer_list, mut outbox_list) = (Vec::new(), Vec::new());
    for &region in regions {
        let topics = spine::inspect::topics(sources.kafka(region).to_owned()).await.with_context(|| format!("ask {region}/kafka"))?;
        let mut database = sources.connect(region).await?;
        for consumer in CONSUMERS {
            let Some(topic) = topics.iter().find(|topic| topic.name == consumer.topic) else { continue };
            let offsets = offsets(sources, region, &mut database, consumer, topic).await?;
            let waiting: i64 = topic.partitions.iter().map(|partition| behind(partition.low, partition.high, &offsets, partition.id)).sum();
            let letters = dead_letters(&mut database, consumer).await?;
            consumers.push(vec![
                region.to_string(),
                consumer.group.to_owned(),
                consumer.topic.to_owned(),
                waiting.to_string(),
                letters.to_string(),
            ]);
            consumer_list.push(json!({
                "region": region.as_str(), "consumer": consumer.group, "topic": consumer.topic, "waiting": waiting, "dead_letters": letters,
            }));
        }
        for slot in slots(&mut database).await? {
            let Slot { slot_name, active, state, lag_bytes } = slot;
            let read = if active { "yes" } else { "no" };
            outboxes.push(vec![region.to_string(), slot_name.clone(), read.to_owned(), state.clone(), format!("{} kB", lag_bytes / 1000)]);
            outbox_list
                .push(json!({ "region": region.as_str(), "slot": slot_name, "is_read": active, "state": state, "lag_bytes": lag_bytes }));
        }
        let _ = database.close().await;
    }
    if as_json {
        line(json!({ "consumers": consumer_list, "outboxes": outbox_list }));
    } else {
        line(format_args!("{}\n\n{}", table(&consumers), table(&outboxes)));
    }
    Ok(())
}

async fn offsets(sources: &Sources, region: Region, database: &mut PgConnection, consumer: Consumer, topic: &Topic) -> Result<Offsets> {
    let Some(schema) = consumer.schema else {
        let committed = spine::inspect::committed(sources.kafka(region).to_owned(), consumer.group.to_owned(), topic.clone());
        return committed.await.with_context(|| format!("ask {region}/kafka how far {} is", consumer.group));
    };
    let sql = format!("SELECT partition, next_offset FROM \"{schema}\".consumer_offsets WHERE consumer = $1 AND topic = $2");
    let query = sqlx::query_as(AssertSqlSafe(sql)).bind(consumer.group).bind(consumer.topic);
    query.fetch_all(database).await.with_context(|| format!("ask {region}/postgres how far {} is", consumer.group))
}

/// A partition that the consumer has said nothing of waits as a whole.
fn behind(low: i64, high: i64, offsets: &Offsets, partition: i32) -> i64 {
    let next = offsets.iter().find(|(id, _)| *id == partition).and_then(|(_, next)| *next);
    high - next.unwrap_or(low).clamp(low, high)
}

async fn dead_letters(database: &mut PgConnection, consumer: Consumer) -> Result<i64> {
    let Some(schema) = consumer.schema else { return Ok(0) };
    let sql = format!("SELECT count(*) FROM \"{schema}\".dead_letters WHERE consumer = $1");
    sqlx::query_scalar(AssertSqlSafe(sql)).bind(consumer.group).fetch_one(database).await.context("count the dead letters")
}

async fn slots(database: &mut PgConnection) -> Result<Vec<Slot>> {
    let slots = sqlx::query_as(
        "SELECT slot_name::text, active, coalesce(wal_status, 'unknown') AS state,
                coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), 0)::bigint AS lag_bytes
         FROM pg_replication_slots WHERE database = current_database() AND slot_name LIKE '%\\_outbox' ORDER BY slot_name",
    );
    slots.fetch_all(database).await.context("look at the replication slots")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_what_is_kept_and_not_yet_read() {
        let offsets = vec![(0, Some(7)), (1, None), (2, Some(3)), (3, Some(99))];
        assert_eq!(behind(0, 10, &offsets, 0), 3);
        assert_eq!(behind(4, 10, &offsets, 1), 6, "nothing was read");
        assert_eq!(behind(5, 10, &offsets, 2), 5, "what was deleted does not wait");
        assert_eq!(behind(0, 10, &offsets, 3), 0, "the topic was made anew");
        assert_eq!(behind(0, 10, &offsets, 4), 10);
    }
}
