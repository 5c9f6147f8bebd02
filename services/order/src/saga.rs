//! Runs the order's sagas on Temporal: the worker of this region, and the starter of its workflows.
//!
//! Nothing here is needed to accept an order, a cancel or a return: while Temporal is away they are stored, and the sweeper starts the
//! workflows later.

mod calls;
mod order;
mod returning;
mod starter;
mod steps;

use std::time::Duration;

use rpc::process::Fatal;
use sqlx::PgPool;
use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions};
use temporalio_sdk::{Runtime, Worker, WorkerOptions};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use order::OrderSaga;
pub use returning::OrderReturn;
use starter::Errands;
pub(crate) use starter::Starter;
pub use steps::{SagaInput, Steps};

use crate::config::Temporal;

/// Where the workflows of this service wait for a worker.
pub const TASK_QUEUE: &str = "order";
const RECONNECT: Duration = Duration::from_millis(500);

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
    pub(crate) async fn run(self, temporal: Temporal, steps: Steps, pool: PgPool, shutdown: CancellationToken) -> Result<(), Fatal> {
        let Some(client) = shutdown.run_until_cancelled(connect(&temporal)).await.transpose()? else { return Ok(()) };
        self.client.send_replace(Some(client.clone()));
        tokio::select! {
            result = work(client.clone(), worker(steps)?, shutdown.clone()) => result,
            () = self.errands.run(client, pool) => Ok(()),
        }
    }
}

/// Connects to Temporal, however long it takes to be there.
///
/// # Errors
/// When the address or the namespace cannot be one.
pub async fn connect(temporal: &Temporal) -> Result<Client, Fatal> {
    let target: url::Url = format!("http://{}", temporal.address).parse()?;
    loop {
        let options = ConnectionOptions::new(target.clone())
            .identity("order")
            .connect_timeout(Duration::from_secs(2))
            .dns_load_balancing(None)
            .build();
        match Connection::connect(options).await {
            Ok(connection) => return Ok(Client::new(connection, ClientOptions::new(temporal.namespace.clone()).build())?),
            Err(error) => tracing::info!(%error, "temporal is not there yet"),
        }
        tokio::time::sleep(RECONNECT).await;
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
