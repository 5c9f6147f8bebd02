//! The payment service as a process.

fn main() -> std::process::ExitCode {
    rpc::process::main::<payment::Service>()
}
