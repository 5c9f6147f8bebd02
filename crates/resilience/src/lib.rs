//! How calls behave when things go wrong: state machines without a clock, dice, threads or sockets.
//!
//! `now` is always the monotonic time since the process began. Dice are numbers in `[0, 1)`. `crates/rpc` gives both, and makes tower layers of these.
//!
//! ```text
//! client  Deadline ── RetryBudget, Backoff ── Hedger ── Breaker ── Balancer (Ewma, Outliers, slow start, locality)
//! server  Deadline ── Gcra ── Limit (gradient) ── Priority ── Codel
//! ```

mod backoff;
mod balancer;
mod breaker;
mod budget;
mod codel;
mod deadline;
mod ewma;
mod gcra;
mod hedger;
mod latencies;
mod limit;
mod outliers;

pub use backoff::Backoff;
pub use balancer::{Balancer, Endpoint, Zone, subset};
pub use breaker::{Breaker, Breaking, Pass, Refused as BreakerOpen, State as BreakerState};
pub use budget::{Budgeting, RetryBudget};
pub use codel::{Codel, Queueing};
pub use deadline::{Deadline, InvalidTimeout, format_timeout, is_worth_it, parse_timeout};
pub use ewma::PeakEwma;
pub use gcra::{Gcra, Quota};
pub use hedger::{Hedger, Hedging};
pub use latencies::Latencies;
pub use limit::{Limit, Limiting, Priority};
pub use outliers::{Ejecting, Outliers, Verdict};
