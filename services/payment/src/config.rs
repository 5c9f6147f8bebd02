//! Settings of the payment service.

use std::{net::SocketAddr, time::Duration};

use config::{Checkout, Reader, Secret};
use ids::Region;
use temporal::Temporal;
use url::Url;

/// Settings of the payment service.
#[derive(Debug)]
pub struct Config {
    /// The region whose payments this process owns.
    pub region: Region,
    /// Database of the region, role `payment`.
    pub database_url: Secret,
    /// Kafka of the region.
    pub kafka: String,
    /// The payment provider.
    pub psp: Url,
    /// Where the provider sends its webhooks.
    pub webhook_url: Url,
    /// Key of the webhooks' signatures: the bytes of this text.
    pub webhook_secret: Secret,
    /// How often the ledger is compared with the provider's list.
    pub reconcile_every: Duration,
    /// Temporal of the region.
    pub temporal: Temporal,
    /// How long something may be open before a workflow follows it although no call handed it over.
    pub follow_after: Duration,
    /// The same while the bank asks the shopper.
    pub step_up_patience: Duration,
    /// How orders come to their end.
    pub checkout: Checkout,
}

impl Config {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        let listen: SocketAddr = reader.parsed("LISTEN_ADDR", "127.0.0.1:21103");
        Self {
            region: reader.parsed("REGION", "eu"),
            database_url: reader.secret("DATABASE_URL", "postgres://payment:password@127.0.0.1:21432/market"),
            kafka: reader.text("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:21092"),
            psp: reader.parsed("PSP_ADDR", "http://127.0.0.1:20110"),
            // Right wherever the provider can reach the address that this process listens on.
            webhook_url: reader.parsed("PSP_WEBHOOK_URL", &format!("http://{listen}/webhooks/psp")),
            webhook_secret: reader.secret("PSP_WEBHOOK_SECRET", "0123456789abcdef"),
            // A day is settled soon after its end, and a difference is seen while people still remember.
            reconcile_every: reader.duration("RECONCILE_EVERY", "15m"),
            temporal: Temporal::read(reader),
            // A call that is still under way has had the provider's answer by then, or will not get it.
            follow_after: reader.duration("FOLLOW_AFTER", "5s"),
            // Most shoppers have answered by then, and the provider has told of it.
            step_up_patience: reader.duration("STEP_UP_PATIENCE", "30s"),
            checkout: reader.parsed("CHECKOUT", Checkout::Saga.as_str()),
        }
    }
}
