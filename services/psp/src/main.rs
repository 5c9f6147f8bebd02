//! The psp service as a process.
fn main() {}
