//! Settings of the order service.

use config::{Checkout, Reader, Secret};
use ids::Region;
use temporal::Temporal;
use tonic::transport::Endpoint;

/// Settings of the order service.
#[derive(Debug)]
pub struct Config {
    /// The region whose orders this process owns.
    pub region: Region,
    /// Database of the region, role `order`.
    pub database_url: Secret,
    /// Kafka of the region.
    pub kafka: String,
    /// NATS of the region.
    pub nats_url: String,
    /// Temporal of the region.
    pub temporal: Temporal,
    /// Inventory of the region.
    pub inventory: Endpoint,
    /// Payment of the region.
    pub payment: Endpoint,
    /// How orders come to their end.
    pub checkout: Checkout,
}

impl Config {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        Self {
            region: reader.parsed("REGION", "eu"),
            database_url: reader.secret("DATABASE_URL", "postgres://order:password@127.0.0.1:21432/market"),
            kafka: reader.text("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:21092"),
            nats_url: reader.text("NATS_URL", "nats://127.0.0.1:21222"),
            temporal: Temporal::read(reader),
            inventory: reader.parsed("INVENTORY_ADDR", "http://127.0.0.1:21102"),
            payment: reader.parsed("PAYMENT_ADDR", "http://127.0.0.1:21103"),
            checkout: reader.parsed("CHECKOUT", Checkout::Saga.as_str()),
        }
    }
}
