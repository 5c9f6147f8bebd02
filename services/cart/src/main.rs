//! The cart service as a process.
fn main() {}
