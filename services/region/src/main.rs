//! The region service as a process.

fn main() -> std::process::ExitCode {
    rpc::process::main::<region::Service>()
}
