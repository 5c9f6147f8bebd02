//! The coordinator: keys, leases and watches over Raft on three sites, behind etcd's v3 API.
//!
//! ```text
//!  clients ── etcd v3 gRPC ──> api ──> node ──(leader elsewhere: peer port)──> node of the leader
//!                               │        │                                        │ propose, batched
//!              reads, watches   │        │ read index, one round for many reads   v
//!                               v        └──────────────────────────────────>  openraft ── appends ──> other sites
//!                             mvcc <── apply ── committed entries <───────────────┤
//!                       (pure: revisions,                                         v
//!                        leases, history)                                        wal: one write and fdatasync for all that wait
//!                               └── snapshot files                                    (pure codec, checksums, refuses damage)
//! ```
//! - Speaks: `etcdserverpb` KV, Watch, Lease, Cluster, Maintenance. Auth is not served, and answers UNIMPLEMENTED like any unknown service.
//! - Keeps: what was acknowledged survives the loss of one site and of power on all; reads are linearizable unless asked otherwise; a
//!   lease never ends early; a watch sees every event once, in order, or is told that it cannot.
//! - Leaves out: see docs/adr/0012-coordinator.md.

mod api;
mod config;
mod error;
mod lessor;
mod metrics;
pub mod mvcc;
mod node;
mod raft;
mod server;
#[cfg(test)]
mod simulation;
pub mod wal;
#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::doc_markdown,
    clippy::too_many_lines,
    unused_qualifications,
    reason = "generated code keeps the generator's style"
)]
pub mod wire;

use rpc::process::Fatal;

pub use crate::{
    config::Config,
    error::Refusal,
    lessor::Lessor,
    node::{Node, Options, site_id},
};

/// Whether this runs in the simulation of the tests. There nothing may be left to another thread: they have a time of their own.
#[must_use]
fn is_simulated() -> bool {
    #[cfg(test)]
    return testkit::turmoil::in_simulation();
    #[cfg(not(test))]
    return false;
}

/// The port of the first region's site; its peer port is one above.
const PORT: u16 = 21379;

/// The coordinator.
#[derive(Debug)]
pub struct Service;

impl rpc::process::Service for Service {
    type Config = Config;
    const NAME: &'static str = "coordinator";
    const PORT: u16 = PORT;

    fn configure(reader: &mut ::config::Reader) -> Config {
        Config::read(reader)
    }

    async fn run(config: Config, process: rpc::Process) -> Result<(), Fatal> {
        server::run(config, process).await
    }
}
