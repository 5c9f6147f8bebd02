//! The inventory service: the catalog, its stock, and what of it is reserved.
//!
//! - Owns: items of its region; stock, reservations and their lines of the homes that its region holds (schema `inventory`).
//! - RPCs: `inventory.v1.InventoryService` (items: `PutItem`, `GetItem`, `BatchGetItems`, `ListItems`; orders: `Reserve`, `Release`, `Commit`;
//!   stock: `GetStock`, `GiveRights`).
//! - Says: `inventory.item` on `inventory.item`, keyed by SKU; `inventory.reserved|committed|released` on `inventory.events`, keyed by order id;
//!   `inventory.rights_wanted|rights_moved` on `inventory.rights`, keyed by SKU, and `inventory.order_ended`, keyed by order id.
//! - Hears: `order.shipped` (the reservation becomes a sale) and `order.cancelled` (it is given back) on `order.events`; from the other region's Kafka what that one
//!   says on `inventory.rights`.
//! - Keeps: STOCK-1, STOCK-2.
//! - With `CHECKOUT=two-phase` it serves `checkout.v1.ParticipantService`; with `choreography` it hears `order.placed` and says
//!   `inventory.awaits_payment|refused`. Both are there to be compared with the saga.
//!
//! ```text
//! Reserve ── one transaction: the order's row, stock rows in SKU order, lines, outbox ── commit ── answer
//! ```
//! Stock is a bounded counter over both homes: each sells what it has the right to sell, and asks the other one for more when it runs low or an
//! order is short (docs/adr/0014-rights-to-stock.md). An order's stock is its home's; both homes' rows are in both regions, and one region writes them.
//!
//! Every writer locks the order first and stock rows in order of SKU and home after it, and changes one order in a transaction, so two of them never
//! wait for each other in a circle.

mod api;
mod choreography;
mod config;
pub mod domain;
mod error;
mod events;
mod inbox;
mod metrics;
mod participant;
mod peer;
mod rights;
mod server;
mod store;

use rpc::process::Fatal;

pub use crate::config::Config;

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// The inventory service.
#[derive(Debug)]
pub struct Service;

impl rpc::process::Service for Service {
    type Config = Config;
    const NAME: &'static str = "inventory";
    const PORT: u16 = 21102;

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
