//! The order service as a process.

fn main() -> std::process::ExitCode {
    rpc::process::main::<order::Service>()
}
