//! Compiles the etcd API and the peer protocol with protox, so that nobody needs protoc.

use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("proto").canonicalize()?;
    println!("cargo:rerun-if-changed=proto");
    let files = ["etcd/api/etcdserverpb/rpc.proto", "coordinator/v1/peer.proto"];
    let descriptors = protox::compile(files, [&root])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), protox::prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure().build_transport(true).bytes(".").compile_fds(descriptors)?;
    Ok(())
}
