//! etcd's API: decode, ask the node, encode. Rules live in [`crate::mvcc`] and [`crate::node`].

mod cluster;
mod kv;
mod lease;
mod maintenance;
mod watch;

use tokio_util::sync::CancellationToken;

use crate::{
    Node,
    wire::etcdserverpb::{
        cluster_server::ClusterServer, kv_server::KvServer, lease_server::LeaseServer, maintenance_server::MaintenanceServer,
        watch_server::WatchServer,
    },
};

/// Largest change, as etcd has it by default.
const REQUEST: usize = 3 << 19;
/// Largest message from a client: a request and what its envelope may add, as etcd has it.
const MESSAGE: usize = REQUEST + (512 << 10);

/// Answers clients.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) node: Node,
    /// Streams end with it.
    pub(crate) shutdown: CancellationToken,
}

impl Api {
    pub(crate) fn serve(&self, grpc: rpc::Grpc) -> rpc::Grpc {
        grpc.described_by(crate::wire::DESCRIPTORS)
            .with(KvServer::new(self.clone()).max_decoding_message_size(MESSAGE))
            .with(WatchServer::new(self.clone()).max_decoding_message_size(MESSAGE))
            .with(LeaseServer::new(self.clone()).max_decoding_message_size(MESSAGE))
            .with(ClusterServer::new(self.clone()).max_decoding_message_size(MESSAGE))
            .with(MaintenanceServer::new(self.clone()).max_decoding_message_size(MESSAGE))
    }
}
