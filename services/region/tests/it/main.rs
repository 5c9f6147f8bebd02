//! The region service as a process, on a real PostgreSQL and a real coordinator.

mod alone;
mod world;
