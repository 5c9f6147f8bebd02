//! The search service as a process.
fn main() {}
