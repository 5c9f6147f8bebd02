//! PostgreSQL: every change commits with its event.

pub(crate) mod items;
pub(crate) mod reservations;
pub(crate) mod rights;
pub(crate) mod together;
