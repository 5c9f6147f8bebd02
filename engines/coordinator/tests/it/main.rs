//! The coordinator as clients see it: real processes on loopback, and the same suite against etcd when `ETCD` names its binary.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "tests fail by panicking, and say what they measured")]

mod checker;
mod cluster;
mod conformance;
mod faults;
mod history;
mod links;
