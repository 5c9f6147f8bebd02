//! The inventory service as a process.

fn main() -> std::process::ExitCode {
    rpc::process::main::<inventory::Service>()
}
