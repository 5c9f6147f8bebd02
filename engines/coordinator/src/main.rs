//! The coordinator as a process.

fn main() -> std::process::ExitCode {
    rpc::process::main::<coordinator::Service>()
}
