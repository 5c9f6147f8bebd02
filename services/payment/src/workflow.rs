//! Workflows that follow to its end what a call of this service left open: the worker of this region, and the starter of its workflows.
//!
//! ```text
//! call ──> the intent is in the row ──> ask the provider ──> settled: answer, and no workflow
//!                     │                        └── no answer, or the caller went away ──> start soon ─┐
//!                     └── the process dies ──> sweeper, a few seconds later ────────────────────────>├──> workflow: again, until settled
//! ```
//! Nothing here is needed to answer a call. While Temporal is away intents stay open in the database; their workflows are started when it is
//! back. What keeps money right is the row and the provider's keys; a workflow only brings the patience.

mod calls;
mod charge;
mod refund;
mod reversal;
mod starter;
mod steps;

use std::time::Duration;

use ids::OrderId;
use rpc::process::Fatal;
use temporal::Temporal;
use temporalio_sdk::WorkerOptions;
use tokio_util::sync::CancellationToken;

pub use charge::PaymentCharge;
pub use refund::PaymentRefund;
pub use reversal::PaymentReversal;
use starter::Errands;
pub(crate) use starter::{Handover, Starter};
pub use steps::{Standing, Step, Steps};

use crate::domain::Intent;

/// Where the workflows of this service wait for a worker.
pub const TASK_QUEUE: &str = "payment";
/// Before a worker that stopped is made anew: what stopped it may still be there.
const REST: Duration = Duration::from_secs(2);

/// A kind of workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Charge,
    Refund,
    Reversal,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Charge, Self::Refund, Self::Reversal];

    /// The kind that follows `intent`.
    pub(crate) fn of(intent: &Intent) -> Self {
        match intent {
            Intent::Authorization | Intent::Capture => Self::Charge,
            Intent::Void => Self::Reversal,
            Intent::Refund(_) => Self::Refund,
        }
    }

    /// The name in metrics and in workflow ids.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Refund => "refund",
            Self::Reversal => "reversal",
        }
    }
}

/// The id of the workflow that follows `intent`: `<order>/charge`, `<order>/reversal`, `<order>/refund/<key>`.
#[must_use]
pub fn id(order_id: OrderId, intent: &Intent) -> String {
    let workflow = order_id.step_key(Kind::of(intent).as_str());
    let Intent::Refund(key) = intent else { return workflow };
    let name = key.strip_prefix(&order_id.to_string()).map_or(key.as_str(), |name| name.trim_start_matches('/'));
    format!("{workflow}/{name}")
}

/// The other end of a [`Starter`].
pub(crate) struct Workflows {
    errands: Errands,
}

/// A starter and what runs it.
pub(crate) fn channel() -> (Starter, Workflows) {
    let (starter, errands) = starter::channel();
    (starter, Workflows { errands })
}

impl Workflows {
    /// Runs the worker and the starter until `shutdown`. A worker that stops by itself is connected anew: calls are answered without it.
    ///
    /// # Errors
    /// When the address, the namespace or the workflows themselves are wrong.
    pub(crate) async fn run(mut self, temporal: Temporal, steps: Steps, shutdown: CancellationToken) -> Result<(), Fatal> {
        while let Some(client) = shutdown.run_until_cancelled(temporal.connect("payment")).await.transpose()? {
            let options = worker(steps.clone())?;
            let stopped = CancellationToken::new();
            let working = async {
                let worked = temporal::work(client.clone(), options, shutdown.clone()).await;
                stopped.cancel();
                worked
            };
            let (worked, _) = tokio::join!(working, stopped.run_until_cancelled(self.errands.run(client.clone())));
            if let Err(error) = worked {
                tracing::warn!(error = %error, "the temporal worker stopped by itself; it is connected anew");
                shutdown.run_until_cancelled(tokio::time::sleep(REST)).await;
            }
        }
        Ok(())
    }
}

/// A worker with all workflows and these steps.
///
/// # Errors
/// When a workflow is registered twice.
pub fn worker(steps: Steps) -> Result<WorkerOptions, Fatal> {
    let options = WorkerOptions::new(TASK_QUEUE)
        .register_workflow::<PaymentCharge>()?
        .register_workflow::<PaymentRefund>()?
        .register_workflow::<PaymentReversal>()?;
    Ok(options.register_activities(steps).build())
}
