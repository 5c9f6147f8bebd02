//! Reads a whole topic from given offsets, outside any group.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{Consumer as _, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};

use crate::{Error, client};

const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// A reader of every partition of one topic.
pub(crate) struct Reader {
    consumer: StreamConsumer,
    /// Per partition the offset behind the last message that was there at the beginning; gone once it was read.
    pub(crate) ends: BTreeMap<i32, i64>,
}

impl Reader {
    /// Reads `topic`; `next` is the next offset wanted per partition, from the beginning where absent.
    pub(crate) async fn open(bootstrap: String, topic: String, next: BTreeMap<i32, i64>) -> Result<Self, Error> {
        let open = move || {
            let consumer: StreamConsumer = client::reader(&bootstrap).create()?;
            let metadata = consumer.fetch_metadata(Some(&topic), METADATA_TIMEOUT)?;
            // A topic that does not exist yet is answered with no partitions.
            if metadata.topics().iter().all(|topic| topic.partitions().is_empty()) {
                return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic).into());
            }
            let mut assignment = TopicPartitionList::new();
            let mut ends = BTreeMap::new();
            for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
                let (low, high) = consumer.fetch_watermarks(&topic, partition.id(), METADATA_TIMEOUT)?;
                // Offsets beyond the end belong to a topic that was made anew: read it from its beginning.
                let from = next.get(&partition.id()).copied().filter(|from| (low..=high).contains(from)).unwrap_or(low);
                assignment.add_partition_offset(&topic, partition.id(), Offset::Offset(from))?;
                if high > from {
                    ends.insert(partition.id(), high);
                }
            }
            consumer.assign(&assignment)?;
            Ok(Self { consumer, ends })
        };
        tokio::task::spawn_blocking(open).await.expect("opening a reader does not panic")
    }

    /// The next message.
    ///
    /// # Errors
    /// When Kafka is away; calling again goes on.
    pub(crate) async fn next(&mut self) -> Result<BorrowedMessage<'_>, Error> {
        let message = self.consumer.recv().await?;
        if self.ends.get(&message.partition()).is_some_and(|end| message.offset() + 1 >= *end) {
            self.ends.remove(&message.partition());
        }
        Ok(message)
    }

    /// Whether everything that was there when the reader was opened has been read.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.ends.is_empty()
    }
}
