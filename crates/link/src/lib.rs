//! A link between two sites: TCP connections whose bytes take their time, get lost and come later, queue for a narrow line, or wait until
//! a partition is over. Set at run time, for each direction apart.
//!
//! | module | what it is |
//! |---|---|
//! | `site`, `quantity`, `shape` | where links lead, and what can be set: parsed with limits |
//! | `table` | which links there are: `<from>/<to>/<protocol>=<listen>><target>, ...` |
//! | `wire` | pure: one direction's line; when bytes that are handed over now come out |
//! | `pipe` | pure: one direction of one connection; bytes, their end or a reset, in order, each with its time |
//! | `layer` | pure: every direction's shape, what was set, and what holds for one protocol alone |
//! | `relay` | the shell: listeners, sockets, timers |
//!
//! ```text
//! caller ──> listener ─┬─> pipe from -> to ──> target      wires belong to a direction: all its connections share them
//!        <─────────────┴── pipe to -> from <──
//! ```
//! Promises: bytes come out whole and in order, never sooner than the direction's latency; a direction that is cut delivers nothing, resets
//! nothing, and goes on where it was when it is healed; the other direction notices nothing of it.

mod layer;
mod pipe;
mod quantity;
mod relay;
mod shape;
mod site;
mod table;
mod wire;

pub use layer::{Flow, Kept, Layer, Unknown, Way};
pub use quantity::{Bandwidth, Loss, NoBandwidth, NoLoss};
pub use relay::{Links, Traffic};
pub use shape::{Change, MAX_LATENCY, OutOfRange, Shape};
pub use site::{NoSite, Site};
pub use table::{BadTable, Link, Table};
