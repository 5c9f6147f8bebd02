//! The CLI that runs a two-region market on one machine, with real engines as its child processes.
//!
//! | module | what it does |
//! |---|---|
//! | [`plan`] | parts, ports, settings and the order of start: pure tables |
//! | [`fetch`] | engines into the download cache, checked against `backbone.lock` |
//! | [`engine`] | how each engine is prepared, run and probed |
//! | [`supervisor`], [`jobs`], [`mirror`], [`topics`], [`seed`] | the way up, keeping it up, the way down |
//! | [`home`], [`state`], [`process`], [`sources`] | files, the state others read, `/proc`, where the engines are |
//! | [`up`], [`down`], [`status`], [`logs`], [`doctor`], [`demo`], [`verify`], [`psp`], [`link`], [`payments`], [`stock`], [`region`], [`spine`], [`bench`] | the commands |

pub mod bench;
pub mod catalog;
pub mod cli;
pub mod demo;
pub mod doctor;
pub mod down;
pub mod engine;
pub mod exit;
pub mod fetch;
pub mod home;
pub mod jobs;
pub mod link;
pub mod logs;
pub mod mirror;
pub mod output;
pub mod payments;
pub mod plan;
pub mod preflight;
pub mod probe;
pub mod process;
pub mod psp;
pub mod region;
pub mod schema;
pub mod seed;
pub mod sources;
pub mod spine;
pub mod state;
pub mod status;
pub mod stock;
pub mod supervisor;
pub mod topics;
pub mod up;
pub mod verify;
