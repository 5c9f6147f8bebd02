//! Generated: the client side of etcd's API.

/// etcd's API.
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}

/// Keys and events of etcd's API.
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}
