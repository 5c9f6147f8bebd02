//! The edge service as a process.
fn main() {}
