//! What tests need: real engines, fresh databases, services as processes, waiting on conditions. For tests only.
//!
//! ```no_run
//! # async fn test() {
//! let postgres = testkit::postgres().await;
//! let url = postgres.database("inventory").await;
//! let inventory = testkit::Running::migrated("target/release/inventory", &[("DATABASE_URL", url.expose())]).await;
//! # let _ = inventory.address();
//! # }
//! ```
//!
//! The engines come from the cache that `backbone fetch` fills; a test without them fails and says so. Every process started here dies
//! with the test process, however that ends, and its files go with it.

mod eventually;
mod kafka;
mod keeper;
mod parts;
mod ports;
mod postgres;
mod running;
mod temporal;

pub use eventually::eventually;
pub use kafka::{Kafka, kafka};
pub use keeper::fresh_folder;
pub use ports::{free_port, is_free, nowhere};
pub use postgres::{Postgres, postgres};
pub use running::Running;
pub use temporal::Temporal;
/// Here and not where it is used, so that a build for tests and one to be run have the same features and nothing is compiled twice.
pub use turmoil;
