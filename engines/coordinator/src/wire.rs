//! Generated from `proto/`: etcd's API and what the sites say to each other.

/// All files, as the reflection service wants them.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// etcd's API.
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}

/// Keys and events of etcd's API.
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}

/// Between sites.
pub mod coordinator {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("coordinator.v1");
    }
}
