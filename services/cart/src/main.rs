//! The cart service as a process.

fn main() -> std::process::ExitCode {
    rpc::process::main::<cart::Service>()
}
