//! Reads a whole topic from given offsets, outside any group: for state that is rebuilt from a compacted topic, and for looking at it.

use std::collections::BTreeMap;

use rdkafka::Message as _;

use crate::{Delivery, Error, read::Reader};

/// A reader of every partition of one topic.
pub struct Tail(Reader);

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail").field("ends", &self.0.ends).finish_non_exhaustive()
    }
}

impl Tail {
    /// Reads `topic`; `next` is the next offset wanted per partition, from the beginning where absent.
    ///
    /// # Errors
    /// When Kafka is away or the topic does not exist.
    pub async fn open(bootstrap: String, topic: &str, next: BTreeMap<i32, i64>) -> Result<Self, Error> {
        Reader::open(bootstrap, topic.to_owned(), next).await.map(Self)
    }

    /// The next message; `None` for one that is not one of ours (it is skipped).
    ///
    /// # Errors
    /// When Kafka is away; calling again goes on.
    pub async fn next(&mut self) -> Result<Option<Delivery>, Error> {
        let message = self.0.next().await?;
        let (partition, offset) = (message.partition(), message.offset());
        Ok(Delivery::read(&message).inspect_err(|error| tracing::warn!(%error, partition, offset, "message skipped")).ok())
    }

    /// Whether everything that was there when the tail was opened has been read.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.0.is_caught_up()
    }
}
