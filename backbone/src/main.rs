//! The `backbone` program.

fn main() -> std::process::ExitCode {
    backbone::cli::main().into()
}
