//! Workflows that follow to its end what a call of this service left open: the worker of this region, and the starter of its workflows.
//!
//! ```text
//! call ──> the intent is in the row ──> ask the provider ──> settled: answer, and no workflow
//!                     │                        └── no answer, or the caller went away ──> start soon ─┐
//!                     └── the process dies ──> sweeper, a few seconds later ────────────────────────>├──> workflow: again, until settled
//! ```
//! Nothing here is needed to answer a call. While Temporal is away intents stay open in the database, and the sweeper starts their workflows
//! later. What keeps money right is the row and the provider's keys; a workflow only brings the patience.

mod calls;
mod charge;
mod refund;
mod reversal;
mod starter;
mod steps;

use std::time::Duration;

use ids::OrderId;
use rpc::process::Fatal;
use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions};
use temporalio_sdk::{Runtime, Worker, WorkerOptions};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use charge::PaymentCharge;
pub use refund::PaymentRefund;
pub use reversal::PaymentReversal;
use starter::Errands;
pub(crate) use starter::{Handover, Starter};
pub use steps::{Standing, Step, Steps};

use crate::{config::Temporal, domain::Intent};

/// Where the workflows of this service wait for a worker.
pub const TASK_QUEUE: &str = "payment";
const RECONNECT: Duration = Duration::from_millis(500);
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
    client: watch::Sender<Option<Client>>,
}

/// A starter and what runs it.
pub(crate) fn channel() -> (Starter, Workflows) {
    let (starter, errands, client) = starter::channel();
    (starter, Workflows { errands, client })
}

impl Workflows {
    /// Runs the worker and the starter until `shutdown`. A worker that stops by itself is connected anew: calls are answered without it.
    ///
    /// # Errors
    /// When the address, the namespace or the workflows themselves are wrong.
    pub(crate) async fn run(mut self, temporal: Temporal, steps: Steps, shutdown: CancellationToken) -> Result<(), Fatal> {
        while let Some(client) = shutdown.run_until_cancelled(connect(&temporal)).await.transpose()? {
            let options = worker(steps.clone())?;
            self.client.send_replace(Some(client.clone()));
            let stopped = CancellationToken::new();
            let working = async {
                let worked = work(client.clone(), options, shutdown.clone()).await;
                stopped.cancel();
                worked
            };
            let (worked, _) = tokio::join!(working, stopped.run_until_cancelled(self.errands.run(client.clone())));
            self.client.send_replace(None);
            if let Err(error) = worked {
                tracing::warn!(error = %error, "the temporal worker stopped by itself; it is connected anew");
                shutdown.run_until_cancelled(tokio::time::sleep(REST)).await;
            }
        }
        Ok(())
    }
}

/// Connects to Temporal, however long it takes to be there.
///
/// # Errors
/// When the address or the namespace cannot be one.
pub async fn connect(temporal: &Temporal) -> Result<Client, Fatal> {
    let target: url::Url = format!("http://{}", temporal.address).parse()?;
    let mut is_known_to_be_away = false;
    loop {
        let options = ConnectionOptions::new(target.clone())
            .identity("payment")
            .connect_timeout(Duration::from_secs(2))
            .dns_load_balancing(None)
            .build();
        match Connection::connect(options).await {
            Ok(connection) => return Ok(Client::new(connection, ClientOptions::new(temporal.namespace.clone()).build())?),
            Err(error) if is_known_to_be_away => tracing::debug!(%error, "temporal is still away"),
            Err(error) => tracing::info!(%error, "temporal is not there yet; what calls leave open waits for it"),
        }
        is_known_to_be_away = true;
        tokio::time::sleep(RECONNECT).await;
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

/// Runs a worker on a thread of its own until `shutdown`: workflows are not `Send`.
///
/// # Errors
/// When it stops by itself.
pub async fn work(client: Client, options: WorkerOptions, shutdown: CancellationToken) -> Result<(), Fatal> {
    let handle = tokio::runtime::Handle::current();
    let run = move || -> Result<(), Fatal> {
        let _in_runtime = handle.enter();
        let runtime = Runtime::from_current_tokio(Default::default())?;
        let mut worker = Worker::new(&runtime, client, options)?;
        let stop = worker.shutdown_handle();
        handle.spawn({
            let shutdown = shutdown.clone();
            async move {
                shutdown.cancelled().await;
                stop();
            }
        });
        handle.block_on(worker.run())?;
        if shutdown.is_cancelled() { Ok(()) } else { Err("the temporal worker stopped by itself".into()) }
    };
    tokio::task::spawn_blocking(run).await?
}
