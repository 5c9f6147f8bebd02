//! Settings of the inventory service.

use config::{Checkout, Reader, Secret};
use ids::Region;

/// Settings of the inventory service.
#[derive(Debug)]
pub struct Config {
    /// The region whose stock this process owns.
    pub region: Region,
    /// Database of the region, role `inventory`.
    pub database_url: Secret,
    /// Kafka of the region.
    pub kafka: String,
    /// Kafka of the other region; `None` when there is no other.
    pub peer_kafka: Option<String>,
    /// How orders come to their end.
    pub checkout: Checkout,
}

impl Config {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        Self {
            region: reader.parsed("REGION", "eu"),
            database_url: reader.secret("DATABASE_URL", "postgres://inventory:password@127.0.0.1:21432/market"),
            kafka: reader.text("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:21092"),
            peer_kafka: reader.optional("PEER_KAFKA_BOOTSTRAP_SERVERS"),
            checkout: reader.parsed("CHECKOUT", Checkout::Saga.as_str()),
        }
    }
}
