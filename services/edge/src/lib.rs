//! The shop's one address: a streaming HTTP proxy in front of both regions' storefronts.
//!
//! - Owns: nothing. What it knows of the regions' health it finds out again after a start.
//! - HTTP: `GET /edge/regions` for operators; all else is passed on. `?region=us` on a page chooses a region and is taken off the address.
//! - Calls: the storefronts (bff) of both regions, `/readyz` at their admin ports, and both region services (`GetRegion`).
//!
//! ```text
//! X-Region            pinned ──┐                          ┌─ answer ─────────────────────> back
//! cookie region    preferred ──┤                          │
//! country in a header  guess ──┼─> first ─> attempt ──────┤
//! nearest              guess ──┘  (health,    ^           └─ lost ─> journey ── verdict ─> back
//!                                  holders)   └─ to, pause, wait ──────┘
//! ```
//! `journey` has the rules: what only reads, or sets a cart under a key, goes to the other region at once; an order under a key goes there
//! when the lease says that the other region holds its home; nothing that may have been done is sent again without a key.

mod both;
mod config;
mod error;
mod geo;
mod headers;
mod health;
mod homes;
mod journey;
mod keys;
mod leases;
mod metrics;
mod nearest;
mod probe;
mod problem;
mod proxy;
mod regions;
mod route;
mod server;
mod storefronts;
mod strays;
mod upload;

use rpc::process::Fatal;

pub use crate::config::{Address, Config, InvalidAddress, InvalidSize, Size};

/// The shop's one address.
#[derive(Debug)]
pub struct Service;

impl rpc::process::Service for Service {
    type Config = Config;
    const NAME: &'static str = "edge";
    const PORT: u16 = 8080;

    fn configure(reader: &mut ::config::Reader) -> Config {
        Config::read(reader)
    }

    async fn run(config: Config, process: rpc::Process) -> Result<(), Fatal> {
        server::run(config, process).await
    }
}
