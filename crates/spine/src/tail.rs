//! Reads a whole topic from given offsets, outside any group: for state that is rebuilt from a compacted topic.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer as _, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::{Delivery, Error, client};

const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// A reader of every partition of one topic.
pub struct Tail {
    consumer: StreamConsumer,
    ends: BTreeMap<i32, i64>,
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail").field("ends", &self.ends).finish_non_exhaustive()
    }
}

impl Tail {
    /// Reads `topic`; `next` is the next offset wanted per partition, from the beginning where absent.
    ///
    /// # Errors
    /// When Kafka is away or the topic does not exist.
    pub async fn open(bootstrap: String, topic: &'static str, next: BTreeMap<i32, i64>) -> Result<Self, Error> {
        let open = move || {
            let consumer: StreamConsumer = client::consumer(&bootstrap, "tail").set("enable.auto.commit", "false").create()?;
            let metadata = consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT)?;
            // A topic that does not exist yet is answered with no partitions.
            if metadata.topics().iter().all(|topic| topic.partitions().is_empty()) {
                return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic).into());
            }
            let mut assignment = TopicPartitionList::new();
            let mut ends = BTreeMap::new();
            for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
                let (low, high) = consumer.fetch_watermarks(topic, partition.id(), METADATA_TIMEOUT)?;
                // Offsets beyond the end belong to a topic that was made anew: read it from its beginning.
                let from = next.get(&partition.id()).copied().filter(|from| (low..=high).contains(from)).unwrap_or(low);
                assignment.add_partition_offset(topic, partition.id(), Offset::Offset(from))?;
                if high > from {
                    ends.insert(partition.id(), high);
                }
            }
            consumer.assign(&assignment)?;
            Ok(Self { consumer, ends })
        };
        tokio::task::spawn_blocking(open).await.expect("opening a tail does not panic")
    }

    /// The next message; `None` for one that is not one of ours (it is skipped).
    ///
    /// # Errors
    /// When Kafka is away; calling again goes on.
    pub async fn next(&mut self) -> Result<Option<Delivery>, Error> {
        let message = self.consumer.recv().await?;
        let (partition, offset) = (rdkafka::Message::partition(&message), rdkafka::Message::offset(&message));
        if self.ends.get(&partition).is_some_and(|end| offset + 1 >= *end) {
            self.ends.remove(&partition);
        }
        Ok(Delivery::read(&message).inspect_err(|error| tracing::warn!(%error, partition, offset, "message skipped")).ok())
    }

    /// Whether everything that was there when the tail was opened has been read.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.ends.is_empty()
    }
}
