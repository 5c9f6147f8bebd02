//! Changes of PostgreSQL tables, read from the write-ahead log (WAL) by logical decoding with the plug-in `pgoutput`.
//!
//! ```text
//!  commits ──> WAL ──> slot: decodes, in commit order ──> Stream: begin, rows, commit ──> whoever uses them
//!                       ^ keeps what is not confirmed <──────────── confirm(position) ──────────┘
//! ```
//! A slot gives again, after any end of the stream, all that was not confirmed: each change comes at least once, in commit order.

pub mod pgoutput;
mod slot;
mod stream;

pub use pgwire_replication::Lsn;
pub use slot::{Slot, Standing};
pub use stream::{Event, Row, Source, Stream};

/// Why changes cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database URL lacks something.
    #[error("read the database URL: {0}")]
    Url(&'static str),
    /// The server refused, or the connection broke.
    #[error("stream from the replication slot")]
    Stream(#[from] pgwire_replication::PgWireError),
    /// The server ended the stream.
    #[error("the server ended the stream")]
    Ended,
    /// The server, which speaks at least every few seconds, has said nothing for long.
    #[error("the server is silent")]
    Silent,
    /// The server sent what the protocol does not have.
    #[error("decode a change")]
    Decode(#[from] pgoutput::Malformed),
    /// A row came before its table was described.
    #[error("a row of table {0}, which was not described")]
    UnknownTable(u32),
    /// A row lacks a column, or has another type there.
    #[error("column {0} is missing, null or of another type")]
    Column(&'static str),
    /// The slot could not be looked at or made.
    #[error("look after the replication slot")]
    Slot(#[from] sqlx::Error),
}
