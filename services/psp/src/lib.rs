//! The payment provider (PSP) simulator: the bank's side of every payment. It stands outside both regions.
//!
//! - Owns: charges with their refunds and chargebacks, the list of what moved balances, the answers given under each idempotency key, step-ups
//!   not yet approved, webhooks not yet sent, and how it behaves, in `DATA_DIR`. All are kept for good, but for webhooks: those nobody took
//!   for an hour are given up.
//! - HTTP: `POST /v1/charges`, `POST /v1/charges/{id}/capture|void|refund`, `GET /v1/charges`, `GET /v1/charges/{id}`, `GET /v1/transactions`
//!   for reconciliation, and a page at `/`.
//! - HTTP for whoever plays the bank: `GET|PUT|PATCH|DELETE /v1/behavior`, `POST /v1/charges/{id}/chargeback`.
//! - Says: webhooks, signed, at least once: the end of a step-up, an expired authorization, refunds, chargebacks.
//! - Keeps: its part of PAY-1 (a charge is captured at most once) and PAY-2 (the list names every charge that ever held money).
//!
//! ```text
//! request ──> conduct: accidents that are set ──> api ──> writer thread: many requests, one durable commit ──> answers
//!                                                                        └──> effects: shoppers, webhooks
//! ```
//! Each effect ends with a commit of its own. Effects start only after the commit that asks for them, and are read back from the store at the start: `kill -9` loses none.

mod admin;
mod api;
pub mod behavior;
mod conduct;
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
