//! Looks at topics and groups, for whoever looks after the system.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    metadata::{MetadataPartition, MetadataTopic},
};
use time::OffsetDateTime;

use crate::{Error, client};

const PATIENCE: Duration = Duration::from_secs(10);

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub id: i32,
    /// Offset of the oldest message that is kept.
    pub low: i64,
    /// Offset behind the newest message.
    pub high: i64,
    /// How many brokers keep a copy.
    pub replicas: usize,
    /// How many of these are up to date.
    pub in_sync: usize,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: Vec<Partition>,
}

/// All topics but Kafka's own, by name.
///
/// # Errors
/// When Kafka is away.
pub async fn topics(bootstrap: String) -> Result<Vec<Topic>, Error> {
    blocking(move || {
        let client: BaseConsumer = client::reader(&bootstrap).create()?;
        let metadata = client.fetch_metadata(None, PATIENCE)?;
        let mut topics = Vec::new();
        for topic in metadata.topics().iter().filter(|topic| !topic.name().starts_with("__")) {
            let mut partitions = Vec::new();
            for partition in topic.partitions() {
                let (low, high) = client.fetch_watermarks(topic.name(), partition.id(), PATIENCE)?;
                let (replicas, in_sync) = (partition.replicas().len(), partition.isr().len());
                partitions.push(Partition { id: partition.id(), low, high, replicas, in_sync });
            }
            partitions.sort_by_key(|partition| partition.id);
            topics.push(Topic { name: topic.name().to_owned(), partitions });
        }
        topics.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(topics)
    })
    .await
}

/// For each partition of `topic` the offset that `group` told Kafka last; absent when it told none.
///
/// # Errors
/// When Kafka is away.
pub async fn committed(bootstrap: String, group: String, topic: Topic) -> Result<Vec<(i32, Option<i64>)>, Error> {
    blocking(move || {
        let client: BaseConsumer = client::reader(&bootstrap).set("group.id", &group).create()?;
        let mut wanted = TopicPartitionList::new();
        for partition in &topic.partitions {
            wanted.add_partition(&topic.name, partition.id);
        }
        Ok(offsets(&client.committed_offsets(wanted, PATIENCE)?))
    })
    .await
}

/// For each partition of `topic` the offset of the first message from `since` on; the end where there is none.
///
/// # Errors
/// When Kafka is away.
pub async fn offsets_at(bootstrap: String, topic: Topic, since: OffsetDateTime) -> Result<Vec<(i32, i64)>, Error> {
    blocking(move || {
        let client: BaseConsumer = client::reader(&bootstrap).create()?;
        let millis = i64::try_from(since.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        let mut wanted = TopicPartitionList::new();
        for partition in &topic.partitions {
            wanted.add_partition_offset(&topic.name, partition.id, Offset::Offset(millis))?;
        }
        let found = offsets(&client.offsets_for_times(wanted, PATIENCE)?);
        let end = |id| topic.partitions.iter().find(|partition| partition.id == id).map_or(0, |partition| partition.high);
        Ok(found.into_iter().map(|(id, offset)| (id, offset.unwrap_or_else(|| end(id)))).collect())
    })
    .await
}

/// Where a topic ends, for who looks again and again.
pub struct Ends {
    client: Arc<BaseConsumer>,
    topic: String,
    partitions: Vec<i32>,
}

impl std::fmt::Debug for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ends").field("topic", &self.topic).field("partitions", &self.partitions).finish_non_exhaustive()
    }
}

impl Ends {
    /// Connects.
    ///
    /// # Errors
    /// When Kafka is away.
    pub async fn of(bootstrap: String, topic: &str) -> Result<Self, Error> {
        let topic = topic.to_owned();
        blocking(move || {
            let client: BaseConsumer = client::reader(&bootstrap).create()?;
            let metadata = client.fetch_metadata(Some(&topic), PATIENCE)?;
            let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions).map(MetadataPartition::id).collect();
            Ok(Self { client: Arc::new(client), topic, partitions })
        })
        .await
    }

    /// For each partition the offset behind its newest message.
    ///
    /// # Errors
    /// When Kafka is away.
    pub async fn look(&self) -> Result<BTreeMap<i32, i64>, Error> {
        let (client, topic, partitions) = (self.client.clone(), self.topic.clone(), self.partitions.clone());
        let end = move |id| Ok((id, client.fetch_watermarks(&topic, id, PATIENCE)?.1));
        blocking(move || partitions.into_iter().map(end).collect()).await
    }
}

fn offsets(list: &TopicPartitionList) -> Vec<(i32, Option<i64>)> {
    list.elements()
        .iter()
        .map(|element| match element.offset() {
            Offset::Offset(offset) => (element.partition(), Some(offset)),
            _ => (element.partition(), None),
        })
        .collect()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.expect("looking does not panic")
}
