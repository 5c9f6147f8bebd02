//! Settings of the cart service.

use std::time::Duration;

use config::{Reader, Secret};
use ids::Region;
use tonic::transport::Endpoint;

/// Settings of the cart service.
#[derive(Debug)]
pub struct Config {
    /// The region whose carts this process owns.
    pub region: Region,
    /// Database of the region, role `cart`.
    pub database_url: Secret,
    /// Kafka of the region.
    pub kafka: String,
    /// NATS of the region.
    pub nats_url: String,
    /// Kafka of the other region; `None` when there is no other.
    pub peer_kafka: Option<String>,
    /// The other region's cart service; `None` when there is none.
    pub peer: Option<Endpoint>,
    /// How often the carts of both are compared.
    pub repair_every: Duration,
}

impl Config {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        Self {
            region: reader.parsed("REGION", "eu"),
            database_url: reader.secret("DATABASE_URL", "postgres://cart:password@127.0.0.1:21432/market"),
            kafka: reader.text("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:21092"),
            nats_url: reader.text("NATS_URL", "nats://127.0.0.1:21222"),
            peer_kafka: reader.optional("PEER_KAFKA_BOOTSTRAP_SERVERS"),
            peer: reader.optional("PEER_CART_ADDR").map(|_| reader.parsed("PEER_CART_ADDR", "http://127.0.0.1:22101")),
            repair_every: reader.duration("CART_REPAIR_EVERY", "30s"),
        }
    }
}
