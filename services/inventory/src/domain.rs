//! The rules of catalog and stock: pure, without clock, database or network.

mod demand;
mod item;
mod lines;
mod reservation;
pub mod rights;

pub use demand::Demand;
pub use item::{Item, MAX_STOCK};
pub use lines::{Lines, MAX_LINES, MAX_QUANTITY};
pub use reservation::{Command, Event, Movement, Reservation, Shelf, State, Stock, apply, decide};

use ids::Sku;

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// These are not in the catalog.
    #[error("not in the catalog: {}", list(.0))]
    UnknownSku(Vec<Sku>),
    /// Of these there are not enough.
    #[error("not enough in stock: {}", list(.0))]
    OutOfStock(Vec<Sku>),
    /// The order was given up before.
    #[error("the reservation of this order was released")]
    Released,
    /// The units are sold.
    #[error("the reservation of this order is committed: its units are sold")]
    Committed,
    /// Nothing is reserved.
    #[error("nothing is reserved for this order")]
    Missing,
    /// That id names another transfer.
    #[error("this transfer id stands for another transfer")]
    TransferDiffers,
    /// Something else is reserved.
    #[error("other lines are reserved for this order")]
    Differs,
}

fn list(skus: &[Sku]) -> String {
    skus.iter().map(Sku::as_str).collect::<Vec<_>>().join(", ")
}
