//! How every service is called, served, started and stopped.
//!
//! - [`Failure`] and [`Kind`]: one table from what went wrong to gRPC code, HTTP code and whether a retry makes sense.
//! - [`Problem`]: the same over HTTP, as a problem document.
//! - [`read_body`]: a body of bounded size.
//! - [`channel`]: a client connection that carries the trace and never waits without a limit.
//! - [`Grpc`]: a service's RPCs with health, reflection, a span and metrics per call.
//! - [`Readiness`]: what a service needs, checked once a second; behind gRPC health and `/readyz`.
//! - [`process::main`]: arguments, settings, telemetry, run, drain, exit code.

mod admin;
mod body;
mod client;
mod failure;
mod grpc;
mod observe;
mod problem;
pub mod process;
mod readiness;
mod reflection;

pub use body::{BodyError, read_body};
pub use client::{Client, channel};
pub use failure::{Failure, Kind};
pub use grpc::Grpc;
pub use problem::Problem;
pub use process::Process;
pub use readiness::{Readiness, Unready};
