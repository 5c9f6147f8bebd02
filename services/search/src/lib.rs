//! The search service: finds items of the catalog by words.
//!
//! - Owns: the item index of its region, on disk in `DATA_DIR`. It is derived: lost or damaged, it is built again from the topic.
//! - RPCs: `search.v1.SearchService` (`Search`).
//! - Says: nothing.
//! - Hears: `inventory.item`, from its beginning; the topic is compacted, so it always holds the whole catalog.
//! - Keeps: SEARCH-1.
//!
//! ```text
//! inventory.item ── tail ──> writer ── commit: documents and next offsets, one file ──> reader ──> Search
//! ```
//! Documents and offsets commit together, so after a crash the tail goes on exactly where the index is.

mod api;
mod config;
mod error;
mod inbox;
mod index;
mod metrics;
mod query;
mod server;

use rpc::process::Fatal;

pub use crate::config::Config;

/// The search service.
#[derive(Debug)]
pub struct Service;

impl rpc::process::Service for Service {
    type Config = Config;
    const NAME: &'static str = "search";
    const PORT: u16 = 21105;

    fn configure(reader: &mut ::config::Reader) -> Config {
        Config::read(reader)
    }

    async fn run(config: Config, process: rpc::Process) -> Result<(), Fatal> {
        server::run(config, process).await
    }
}
