//! The payment provider (PSP) simulator: the bank's side of every payment. It stands outside both regions.
//!
//! - Owns: charges, the answers given under each idempotency key, step-ups not yet approved and webhooks not yet sent, in `DATA_DIR`.
//!   All are kept for good, but for webhooks: those nobody took for an hour are given up.
//! - HTTP: `POST /v1/charges`, `POST /v1/charges/{id}/capture|void|refund`, `GET /v1/charges`, `GET /v1/charges/{id}`, and a page at `/`.
//! - Says: webhooks, signed, at least once, about charges that asked for a step-up.
//! - Keeps: its part of PAY-1 (a charge is captured at most once) and PAY-2 (the list names every charge that ever held money).
//!
//! ```text
//! request ──> api ──> writer thread: many requests, one durable commit ──> answers
//!                                   └──> effects: simulated shoppers, webhooks ──> the commit that ends them
//! ```
//! Effects start only after the commit that asks for them, and are read back from the store at the start: `kill -9` loses none.

mod api;
mod config;
pub mod domain;
mod effects;
mod error;
mod metrics;
mod page;
mod problem;
mod server;
mod store;
mod webhook;

use rpc::process::Fatal;

pub use crate::config::Config;

/// The payment provider simulator.
#[derive(Debug)]
pub struct Service;

impl rpc::process::Service for Service {
    type Config = Config;
    const NAME: &'static str = "psp";
    const PORT: u16 = 20110;

    fn configure(reader: &mut ::config::Reader) -> Config {
        Config::read(reader)
    }

    async fn run(config: Config, process: rpc::Process) -> Result<(), Fatal> {
        server::run(config, process).await
    }
}
