//! The Kafka spine.
//!
//! ```text
//!  service's transaction        Relay                    Consumer
//!  row + outbox row  ── poll ──> produce (idempotent) ──> handler's transaction: inbox row + effect
//!                                key = aggregate id       a poison message goes to <topic>.dlq with its cause
//! ```

mod client;
mod consumer;
mod delivery;
mod relay;
mod tail;
pub mod topics;

pub use client::ping;
pub use consumer::{Consumer, Handler, Refusal};
pub use delivery::{Delivery, Malformed};
pub use relay::{Relay, Wake, publish};
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
    /// The outbox could not be read or marked.
    #[error("read the outbox")]
    Outbox(#[from] sqlx::Error),
}
