//! The payment service: one payment per order, its ledger, and the talk with the payment provider (PSP).
//!
//! - Owns: payments with their refunds, ledger entries, comparisons of the ledger with the PSP's list (schema `payment`).
//! - RPCs: `payment.v1.PaymentService` (`Authorize`, `Capture`, `Void`, `Refund`, `GetPayment`, `ReconcileDay`, `GetReconciliation`,
//!   `GetBalances`). HTTP: `POST /webhooks/psp`.
//! - Says: `payment.requires_action|authorized|captured|voided|partially_refunded|refunded|declined|expired|charged_back` on
//!   `payment.events`, keyed by order id.
//! - Workflows: `PaymentCharge`, `PaymentReversal`, `PaymentRefund`, one for each order, void and refund that a call left open.
//! - Keeps: PAY-1, PAY-2.
//! - With `CHECKOUT=two-phase` it serves `checkout.v1.ParticipantService`; with `choreography` it hears `inventory.awaits_payment`. Both are
//!   there to be compared with the saga.
//!
//! ```text
//!        ┌─────────────────────── again, until done ───────────────────────┐
//! RPC ──> transaction: lock the row, what is next? ──> ask the PSP ──> transaction: learn what the PSP says, ledger, outbox
//!                          └── done: answer
//! webhook ───────────────────────────────────────────────────────────────────────^
//! ```
//! The PSP decides and the row follows it: a row only moves when the PSP's own charge says so. Each question has a key that makes a repeat
//! harmless, and the row says which question is open before it is asked. So a process may die anywhere: whoever comes next asks again. That
//! is the caller, or else one of the workflows on task queue `payment`: a call that gets no answer in time hands over to it, and the sweeper
//! starts it for what was open when the process died, or when Temporal was away. See [`workflow`]. Temporal is not needed to answer a call.
//! The reconciler holds the ledger against the PSP's list, which finds what nobody here knows of.

mod api;
mod cashier;
mod choreography;
mod config;
pub mod domain;
mod error;
mod events;
pub mod ledger;
mod metrics;
mod participant;
mod psp;
pub mod reconcile;
mod reconciler;
mod server;
mod store;
mod sweeper;
mod webhook;
pub mod workflow;

use rpc::process::Fatal;

pub use crate::config::Config;

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// The payment service.
#[derive(Debug)]
pub struct Service;

impl rpc::process::Service for Service {
    type Config = Config;
    const NAME: &'static str = "payment";
    const PORT: u16 = 21103;

    fn configure(reader: &mut ::config::Reader) -> Config {
        Config::read(reader)
    }

    async fn run(config: Config, process: rpc::Process) -> Result<(), Fatal> {
        server::run(config, process).await
    }

    async fn migrate(config: Config) -> Result<(), Fatal> {
        ::store::migrate(&config.database_url, &MIGRATOR).await.map_err(Into::into)
    }
}
