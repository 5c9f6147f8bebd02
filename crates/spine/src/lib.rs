//! The Kafka spine.
//!
//! ```text
//!  service's transaction      relay                     Consumer
//!  row + outbox row ── WAL ──> produce (idempotent) ──> one transaction: effects, inbox rows, offset
//!                              key = aggregate id       what cannot be applied goes to <topic>.dlq with its cause
//! ```

mod client;
mod consumer;
mod delivery;
pub mod inspect;
pub mod letters;
mod read;
mod relay;
mod tail;
pub mod topics;

pub use client::ping;
pub use consumer::{Applied, Consumer, Handler, InDatabase, Listener, Outside, Pace, Refusal, Sink};
pub use delivery::{Again, Delivery, Malformed, Received};
pub use relay::{Outbox, publish};
pub use tail::Tail;

/// Why the spine cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kafka refused or was away.
    #[error("talk to kafka")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// The producer is of no more use.
    #[error("kafka's producer has failed for good: {0}")]
    Fatal(String),
    /// A topic could not be made.
    #[error("create topic {topic}: {code}")]
    Topic {
        /// Which.
        topic: String,
        /// Kafka's reason.
        code: rdkafka::types::RDKafkaErrorCode,
    },
    /// The outbox could not be read from the WAL.
    #[error("read the outbox's changes")]
    Changes(#[from] cdc::Error),
    /// Somebody else reads the outbox.
    #[error("another reader has the outbox's slot")]
    Taken,
    /// The database did not do what was asked.
    #[error("use the database")]
    Database(#[from] sqlx::Error),
    /// The database has not answered.
    #[error("the database has not answered for {0:.0?}")]
    Patience(std::time::Duration),
}
