//! Compiles the etcd API from the coordinator's own copy with protox, so that nobody needs protoc.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("../../engines/coordinator/proto").canonicalize()?;
    println!("cargo:rerun-if-changed=../../engines/coordinator/proto/etcd");
    let descriptors = protox::compile(["etcd/api/etcdserverpb/rpc.proto"], [&root])?;
    tonic_prost_build::configure().build_transport(true).build_server(false).bytes(".").compile_fds(descriptors)?;
    Ok(())
}
