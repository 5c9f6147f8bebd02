//! The links between sites as a process.

fn main() -> std::process::ExitCode {
    rpc::process::main::<links::Service>()
}
