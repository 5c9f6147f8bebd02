//! The bff service as a process.
fn main() {}
