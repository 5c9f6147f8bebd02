//! The psp service as a process. Not written yet: see docs/status.md.

use std::{io::Write as _, process::ExitCode};

fn main() -> ExitCode {
    // Nothing to do when even standard error is gone.
    let _ = writeln!(std::io::stderr(), "psp is not written yet, see docs/status.md");
    ExitCode::FAILURE
}
