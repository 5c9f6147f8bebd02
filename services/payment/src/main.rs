//! The payment service as a process.
fn main() {}
