//! Runs the order's sagas on Temporal: the worker of this region, and the starter of its workflows.
//!
//! Nothing here is needed to accept an order, a cancel or a return: while Temporal is away they are stored, and the sweeper starts the
//! workflows later.

mod calls;
mod flow;
mod order;
mod returning;
mod starter;
mod steps;

use rpc::process::Fatal;
use sqlx::PgPool;
use temporal::Temporal;
use temporalio_client::Client;
use temporalio_sdk::WorkerOptions;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use flow::Flow;
pub use order::OrderSaga;
pub use returning::OrderReturn;
use starter::Errands;
pub(crate) use starter::Starter;
pub(crate) use steps::BY_SHOPPER;
pub use steps::{SagaInput, Steps};

use crate::store::Pressure;

/// Where the workflows of this service wait for a worker.
pub const TASK_QUEUE: &str = "order";

/// The other end of a [`Starter`].
pub(crate) struct Sagas {
    errands: Errands,
    client: watch::Sender<Option<Client>>,
}

/// A starter and what runs it.
pub(crate) fn channel() -> (Starter, Sagas) {
    let (starter, errands, client) = starter::channel();
    (starter, Sagas { errands, client })
}

impl Sagas {
    /// Runs the worker and the starter until `shutdown`.
    ///
    /// # Errors
    /// When the worker cannot go on; the process is then started anew.
    pub(crate) async fn run(
        self,
        temporal: Temporal,
        steps: Steps,
        pool: PgPool,
        pressure: Pressure,
        shutdown: CancellationToken,
    ) -> Result<(), Fatal> {
        let flow = Flow::default();
        let steps = steps.telling(flow.clone());
        let Some(client) = shutdown.run_until_cancelled(temporal.connect("order")).await.transpose()? else { return Ok(()) };
        self.client.send_replace(Some(client.clone()));
        tokio::select! {
            result = temporal::work(client.clone(), worker(steps)?, shutdown.clone()) => result,
            () = self.errands.run(client, pool, pressure, flow) => Ok(()),
        }
    }
}

/// A worker with both workflows and these steps.
///
/// # Errors
/// When a workflow is registered twice.
pub fn worker(steps: Steps) -> Result<WorkerOptions, Fatal> {
    let options = WorkerOptions::new(TASK_QUEUE).register_workflow::<OrderSaga>()?.register_workflow::<OrderReturn>()?;
    Ok(options.register_activities(steps).build())
}
