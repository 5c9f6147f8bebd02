//! The bff service as a process.

fn main() -> std::process::ExitCode {
    rpc::process::main::<bff::Service>()
}
