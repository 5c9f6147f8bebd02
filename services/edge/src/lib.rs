//! The shop's one address: a streaming HTTP proxy in front of both regions' storefronts.
//!
//! - Owns: nothing. What it knows of the regions' health it finds out again after a start.
//! - HTTP: `GET /edge/regions` for operators; all else is passed on. `?region=us` on a page chooses a region and is taken off the address.
//! - Calls: the storefronts (bff) of both regions, and `/readyz` at their admin ports.
//!
//! ```text
//! X-Region  pinned ──┐                      ┌─ reads: once more, elsewhere if not pinned
//! cookie  preferred ─┼─> first ─> attempt ──┼─ never connected: the same, whatever the request
//! nothing: eu       ─┘  (health)   (lost?)  └─ a write with a key: once more, in the same region only
//! ```
//! Idempotency keys are known to one region each: a write that may have been done in one is never sent to the other.

mod config;
mod error;
mod headers;
mod keys;
mod metrics;
mod problem;
mod proxy;
mod regions;
mod route;
mod server;
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
