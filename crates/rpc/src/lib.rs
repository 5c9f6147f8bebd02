//! How every service is called, served, started and stopped.
//!
//! - [`Failure`] and [`Kind`]: one table from what went wrong to gRPC code, HTTP code and whether a retry makes sense.
//! - [`Problem`]: the same over HTTP, as a problem document.
//! - [`read_body`]: a body of bounded size.
//! - [`Client`]: a service that is called: deadlines, retries within a budget, hedges, breaker, balancing, as its [`ServiceConfig`] says.
//! - [`Context`]: what goes along with a call and all that it causes: deadline, priority, request id, baggage.
//! - [`Grpc`]: a service's RPCs with health, reflection, a span and metrics per call.
//! - [`Readiness`]: what a service needs, checked once a second; behind gRPC health and `/readyz`.
//! - [`process::main`]: arguments, settings, telemetry, run, drain, exit code.

mod admin;
mod body;
mod client;
mod clock;
mod context;
mod failure;
mod gate;
mod grpc;
mod methods;
mod observe;
mod problem;
pub mod process;
mod readiness;
mod reflection;
mod server;
pub mod service_config;

pub use body::{BodyError, read_body};
pub use client::{Client, channel};
pub use context::Context;
pub use failure::{Failure, Kind};
pub use grpc::Grpc;
pub use problem::Problem;
pub use process::{Process, guarded, serve_on};
pub use readiness::{Readiness, Unready};
pub use resilience::Priority;
pub use server::was_cancelled_within;
pub use service_config::ServiceConfig;
