//! The links: what one site's processes say to another's goes through here, and takes the time that such a way takes. It stands outside
//! all sites, as the sea does.
//!
//! - Owns: what was set of each direction, in `DATA_DIR`. It is set again after a restart; connections are not kept.
//! - HTTP: `GET /links` (each direction's shape, each link's traffic), `PATCH /shapes` (changes a direction, or both; all protocols, or one),
//!   `DELETE /shapes` (forgets all that was set).
//! - Which links there are: `LINKS`. How long they take when nothing was set: `LINK_LATENCY`, a round trip.
//!
//! How bytes are held back is in `crates/link`.

mod api;
mod config;
mod error;
mod metrics;
mod server;
mod store;

use rpc::process::Fatal;

pub use crate::config::Config;

/// The links.
#[derive(Debug)]
pub struct Service;

impl rpc::process::Service for Service {
    type Config = Config;
    const NAME: &'static str = "links";
    const PORT: u16 = 20120;

    fn configure(reader: &mut ::config::Reader) -> Config {
        Config::read(reader)
    }

    async fn run(config: Config, process: rpc::Process) -> Result<(), Fatal> {
        server::run(config, process).await
    }
}
