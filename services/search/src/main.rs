//! The search service as a process.

fn main() -> std::process::ExitCode {
    rpc::process::main::<search::Service>()
}
