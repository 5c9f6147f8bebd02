//! The cart service: what each shopper has put together.
//!
//! - Owns: carts (schema `cart`). A cart's id is the shopper's session.
//! - RPCs: `cart.v1.CartService` (`GetCart`, `SetLine`, `RemoveLine`, `CheckOut`); `cart.v1.CartPeerService` for the other region.
//! - Says: `cart.delta` and `cart.checked_out` on `cart.events`, keyed by cart id.
//! - Tells NATS `cart.changed.<session>` for pages that are open.
//! - Hears: `order.placed` on `order.events`: the units that were ordered leave the cart, those added since stay. And what the other region's
//!   cart service says, from that region's Kafka.
//!
//! ```text
//!  shopper ──> eu: decide, change the state, say the delta ──> eu's Kafka ──> us: merge
//!  shopper ──> us: decide, change the state, say the delta ──> us's Kafka ──> eu: merge
//! ```
//! Both regions change the same cart without asking each other, and have the same state when they have heard the same deltas (crate `crdt`).
//! Twice a minute they compare digests of all carts, so that a delta that was lost is made up for.
//! Within a region every writer locks the cart's row first, so changes of one cart happen one after the other.

mod api;
mod config;
pub mod domain;
mod error;
mod events;
mod inbox;
mod metrics;
mod notices;
mod peer;
mod repair;
mod server;
mod store;

use rpc::process::Fatal;

pub use crate::config::Config;

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// The cart service.
#[derive(Debug)]
pub struct Service;

impl rpc::process::Service for Service {
    type Config = Config;
    const NAME: &'static str = "cart";
    const PORT: u16 = 21101;

    fn configure(reader: &mut ::config::Reader) -> Config {
        Config::read(reader)
    }

    async fn run(config: Config, process: rpc::Process) -> Result<(), Fatal> {
        server::run(config, process).await
    }

    async fn migrate(config: Config) -> Result<(), Fatal> {
        ::store::migrate(&config.database_url, &MIGRATOR).await?;
        Ok(store::convert(&config.database_url, config.region).await?)
    }
}
