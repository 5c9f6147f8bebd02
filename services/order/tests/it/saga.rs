//! The sagas with a real Temporal, inventory, payment and payment provider. The worker runs here, so that its steps can be disturbed.

mod careless;
mod faults;
mod replay;
mod shapes;
mod steps;
mod world;
