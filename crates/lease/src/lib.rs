//! Who may write where, and asking the coordinator about it.
//!
//! ```text
//!  coordinator ── etcd v3 ── [etcd] ── [View], [Txn] ──┐
//!  database, peer ── looks, outcomes ──────────────────┼──> [Keeper]: events and time in, actions out
//!                                                      └──<
//! ```
//! - [`Etcd`]: keys, transactions, leases and watches at several endpoints, the nearest first.
//! - [`Record`], [`View`], [`Txn`]: what the coordinator holds about homes, and how it is changed.
//! - [`Keeper`]: pure; holds the own home, takes over, comes back, hands over, chooses the durability mode. Promise LEASE-1: at no instant
//!   do two regions write rows of one home; and none takes over what the other may have more of.

mod etcd;
mod keeper;
mod record;
mod txn;
mod view;
#[expect(
    clippy::allow_attributes_without_reason,
    clippy::doc_markdown,
    unused_qualifications,
    reason = "generated code keeps the generator's style"
)]
pub mod wire;

pub use etcd::{Error, Etcd, Watcher};
pub use keeper::{Action, Event, Keeper, Look, Note, Outcome, PeerLook, Stand, Timing};
pub use record::{Key, Mode, Record};
pub use txn::{Check, Txn, Write};
pub use view::{Seen, View};

/// Time since some beginning, by a clock that never goes back.
pub type Time = std::time::Duration;
