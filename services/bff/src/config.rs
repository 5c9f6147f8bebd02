//! Settings of the storefront.

use config::{Reader, Secret};
use ids::Region;
use tonic::transport::Endpoint;

/// Settings of the storefront.
#[derive(Debug)]
pub struct Config {
    /// The region this process serves.
    pub region: Region,
    /// Cart of the region.
    pub cart: Endpoint,
    /// Inventory of the region.
    pub inventory: Endpoint,
    /// Order of the region.
    pub order: Endpoint,
    /// Search of the region.
    pub search: Endpoint,
    /// NATS of the region.
    pub nats_url: String,
    /// What sessions of shoppers who sign in are derived with; the same in both regions.
    pub session_secret: Secret,
}

impl Config {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        Self {
            region: reader.parsed("REGION", "eu"),
            cart: reader.parsed("CART_ADDR", "http://127.0.0.1:21101"),
            inventory: reader.parsed("INVENTORY_ADDR", "http://127.0.0.1:21102"),
            order: reader.parsed("ORDER_ADDR", "http://127.0.0.1:21104"),
            search: reader.parsed("SEARCH_ADDR", "http://127.0.0.1:21105"),
            session_secret: reader.secret("SESSION_SECRET", "32 random bytes in hexadecimal"),
            nats_url: reader.text("NATS_URL", "nats://127.0.0.1:21222"),
        }
    }
}
