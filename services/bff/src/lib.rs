//! The storefront: pages for people, a JSON API for programs, both through the same functions.
//!
//! - Owns: nothing. A shopper's session is a cookie or the header `X-Session`.
//! - HTTP: pages (`pages`), `/api/*` (`api`, described at `/api/openapi.json`), `/images/{sku}.svg`, `/errors/{reason}`.
//! - RPCs: gRPC and gRPC-Web for what shoppers may call of `inventory.v1`, `cart.v1` and `search.v1` (passed on) and `order.v1` (answered
//!   here, so that prices are the shop's own).
//! - Calls: inventory, cart, order, search. Hears: `order.status.*` on NATS.
//!
//! Every error is a problem document (RFC 9457) with a reason, or a page that says the same.

mod account;
mod api;
mod backends;
mod checkout;
mod config;
mod documents;
mod error;
mod grpc;
mod input;
mod live;
mod metrics;
mod openapi;
mod pages;
mod pictures;
mod priority;
mod problem;
mod server;
mod session;
mod shelf;
mod shop;
mod view;

use rpc::process::Fatal;

pub use crate::config::Config;

/// The storefront.
#[derive(Debug)]
pub struct Service;

impl rpc::process::Service for Service {
    type Config = Config;
    const NAME: &'static str = "bff";
    const PORT: u16 = 21080;

    fn configure(reader: &mut ::config::Reader) -> Config {
        Config::read(reader)
    }

    async fn run(config: Config, process: rpc::Process) -> Result<(), Fatal> {
        server::run(config, process).await
    }
}
