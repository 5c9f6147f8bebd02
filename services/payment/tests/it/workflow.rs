//! The workflows with a real Temporal and payment provider. The worker runs here, so that its steps can be disturbed.

mod careless;
mod faults;
mod replay;
mod shapes;
mod steps;
mod world;
