//! The region service: who may write where, and how far a commit goes.
//!
//! - Owns: nothing but what `crates/store/src/region.sql` makes in its schema, and the keys of homes at the coordinator.
//! - RPCs: `region.v1.RegionService` (`GetRegion`, `ListHomes`, `GetStatus`, `Drain`, `Undrain`, `Failover`, `Failback`);
//!   `region.v1.RegionPeerService` for the other region.
//! - Keeps: LEASE-1. At no instant do two regions write rows of one home, and none takes over what the other may have more of.
//!
//! ```text
//!  coordinator <── lease, records ──┐                    ┌── homes, synchronous_standby_names ──> database
//!                                   ├── lease::Keeper ───┤
//!  peer ── standing, handover ──────┘                    └── status, metrics, log
//! ```
//! What is decided is decided by [`lease::Keeper`], which is pure; here its actions are carried out. While the coordinator cannot be reached the
//! homes' time runs out, and services read on. The design: docs/adr/0015-takeover.md.

mod api;
mod config;
mod error;
mod keeping;
mod metrics;
mod peer;
mod server;
mod store;

use rpc::process::Fatal;

pub use crate::config::Config;

/// The region service.
#[derive(Debug)]
pub struct Service;

impl rpc::process::Service for Service {
    type Config = Config;
    const NAME: &'static str = "region";
    const PORT: u16 = 21107;

    fn configure(reader: &mut ::config::Reader) -> Config {
        Config::read(reader)
    }

    async fn run(config: Config, process: rpc::Process) -> Result<(), Fatal> {
        server::run(config, process).await
    }
}
