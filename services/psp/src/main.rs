//! The payment provider simulator as a process.

fn main() -> std::process::ExitCode {
    rpc::process::main::<psp::Service>()
}
