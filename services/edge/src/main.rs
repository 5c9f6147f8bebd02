//! The edge service as a process.

fn main() -> std::process::ExitCode {
    rpc::process::main::<edge::Service>()
}
