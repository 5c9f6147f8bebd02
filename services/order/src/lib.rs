//! The order service: accepts orders and brings each to a final state.
//!
//! - Owns: orders, their lines, the sagas' bookkeeping (schema `order`).
//! - RPCs: `order.v1.OrderService` (`PlaceOrder`, `CancelOrder`, `ReturnOrder`, `GetOrder`).
//! - Says: `order.placed|confirmed|shipped|returned|cancelled` on `order.events`; `order.status.<id>` on NATS for open pages.
//! - Hears: `payment.events`, to wake a saga that waits for the shopper's bank; its own `order.events`, to tell NATS.
//! - Keeps: ORDER-1, ORDER-2, and by its saga PAY-1 and STOCK-2.
//!
//! ```text
//! PlaceOrder ── one transaction: key, order, outbox ── commit ── answer
//!                        └─> Temporal (workflow id = order id; the sweeper starts what a crash left out)
//!      reserve ─> authorize ─(step-up)─> pivot ─> capture │ confirm ─> ship     after the pivot only forward
//!      release <─ void      <──────────────┴─────────┘ before the pivot: back, in reverse, then cancel
//!
//! CancelOrder ── course: cancelling, unless the pivot was first ── commit ── answer ──> a signal, to be quick
//! ReturnOrder ── course: returning, once shipped ── commit ── answer ──> workflow `<order>/return`: refund ─> take back
//! ```
//! With `CHECKOUT=two-phase` or `choreography` no saga but [`checkout`] brings orders to their end, to be compared with it.

mod api;
mod checkout;
mod config;
pub mod domain;
mod error;
mod events;
mod inbox;
mod metrics;
pub mod saga;
mod server;
mod status;
mod store;
mod sweeper;

use rpc::process::Fatal;

pub use crate::config::Config;

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// The order service.
#[derive(Debug)]
pub struct Service;

impl rpc::process::Service for Service {
    type Config = Config;
    const NAME: &'static str = "order";
    const PORT: u16 = 21104;

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
