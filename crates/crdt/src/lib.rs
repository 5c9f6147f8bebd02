//! Conflict-free replicated data types: what two regions change apart is merged without a conflict, in any order, with any repeats.
//!
//! ```text
//!    region eu                                   region us
//!    state --change--> state' + delta  ------->  state.merge(delta)        deltas may be lost, repeated, reordered
//!    state.delta_since(context of us)  ------->  state.merge(delta)        ... this repairs what was lost
//! ```
//!
//! | type | what it keeps | concurrent changes | source |
//! |---|---|---|---|
//! | [`Context`] | the dots seen | union | Preguiça et al., "Dotted version vectors", 2010 |
//! | [`OrSet`] | a set | an add wins over a remove | Bieniusa et al., "An optimized conflict-free replicated set", 2012 |
//! | [`PnCounter`] | a sum | all count | Shapiro et al., "A comprehensive study of CRDTs", 2011, 3.1.3 |
//! | [`LwwRegister`] | one value | the latest stamp wins | the same, 3.2.1 |
//! | [`MvRegister`] | one value | all are kept until the next write | the same, 3.2.2 |
//! | [`Cart`] | lines, note, address | quantities add up, nothing removed comes back | Baquero et al., "The problem with embedded CRDT counters and a solution", 2016 |
//!
//! All are delta-state CRDTs (Almeida, Shoker, Baquero, "Delta state replicated data types", 2018): an operation changes the state and
//! returns a delta, and a delta is a small state. States form a join semilattice: `merge` is commutative, associative and idempotent.
//!
//! Two rules for the caller. A [`ReplicaId`] names one writer at a time: a region that lost its state comes back under a new one, or two
//! events get one name. And an operation runs on the replica's own newest state, never on an older copy of it, for the same reason.
//!
//! Pure: no clock, no randomness that a result shows (hash tables have seeds), no input or output. [`codec`] turns every type into bytes and back.

mod cart;
pub mod codec;
mod context;
mod dot;
mod dot_fun;
#[cfg(test)]
mod laws;
mod lww_register;
mod mv_register;
mod or_set;
mod pn_counter;

pub use cart::{Cart, SourceId};
pub use context::Context;
pub use dot::{Dot, ReplicaId};
pub use lww_register::LwwRegister;
pub use mv_register::MvRegister;
pub use or_set::OrSet;
pub use pn_counter::{Overflow, PnCounter};
