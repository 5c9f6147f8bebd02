//! Runs the order's saga on Temporal: the worker of this region, and the starter of its workflows.
//!
//! Nothing here is needed to accept an order: while Temporal is away orders are accepted, and the sweeper starts their workflows later.

mod order;
mod steps;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ids::OrderId;
use rpc::process::Fatal;
use sqlx::PgPool;
use temporalio_client::{
    Client, ClientOptions, Connection, ConnectionOptions, WorkflowIdReusePolicy, WorkflowSignalOptions, WorkflowStartOptions,
    errors::{WorkflowInteractionError, WorkflowStartError},
};
use temporalio_sdk::{Runtime, Worker, WorkerOptions};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use order::{OrderSaga, SagaInput};
pub(crate) use steps::Steps;

use crate::{config::Temporal, store};

/// Where the workflows of this service wait for a worker.
const TASK_QUEUE: &str = "order";
/// Starts that wait for their turn; more are left to the sweeper.
const WAITING_STARTS: usize = 10_000;
/// Starts under way at once.
const CONCURRENT_STARTS: usize = 64;
const RECONNECT: Duration = Duration::from_millis(500);

/// Starts workflows and signals them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Starter {
    queue: mpsc::Sender<(OrderId, Option<String>)>,
    pending: Arc<Mutex<HashSet<OrderId>>>,
    client: watch::Receiver<Option<Client>>,
}

/// The other end of a [`Starter`].
pub(crate) struct Sagas {
    queue: mpsc::Receiver<(OrderId, Option<String>)>,
    pending: Arc<Mutex<HashSet<OrderId>>>,
    client: watch::Sender<Option<Client>>,
}

/// A starter and what runs it.
pub(crate) fn channel() -> (Starter, Sagas) {
    let (queue, starts) = mpsc::channel(WAITING_STARTS);
    let (client, connected) = watch::channel(None);
    let pending = Arc::<Mutex<HashSet<OrderId>>>::default();
    (Starter { queue, pending: pending.clone(), client: connected }, Sagas { queue: starts, pending, client })
}

impl Starter {
    /// Starts the order's workflow in the background. One that cannot be started now is left to the sweeper.
    pub(crate) fn start_soon(&self, id: OrderId) {
        let is_new = self.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        if is_new && self.queue.try_send((id, telemetry::current_traceparent())).is_err() {
            self.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
    }

    /// Tells the order's workflow that its payment changed. One that has ended needs no telling.
    ///
    /// # Errors
    /// When Temporal is away.
    pub(crate) async fn payment_changed(&self, id: OrderId) -> Result<(), String> {
        let client = self.client.borrow().clone().ok_or("temporal is not connected")?;
        let handle = client.get_workflow_handle::<OrderSaga>(id.to_string());
        match handle.signal(OrderSaga::payment_changed, (), WorkflowSignalOptions::default()).await {
            Ok(()) | Err(WorkflowInteractionError::NotFound(_)) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// A readiness check: Temporal is connected.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn is_connected(&self) -> Result<(), String> {
        self.client.borrow().as_ref().map(drop).ok_or_else(|| "not connected".to_owned())
    }
}

impl Sagas {
    /// Runs the worker and the starter until `shutdown`.
    ///
    /// # Errors
    /// When the worker cannot go on; the process is then started anew.
    pub(crate) async fn run(mut self, temporal: Temporal, steps: Steps, pool: PgPool, shutdown: CancellationToken) -> Result<(), Fatal> {
        let Some(client) = shutdown.run_until_cancelled(connect(&temporal)).await.transpose()? else { return Ok(()) };
        self.client.send_replace(Some(client.clone()));
        let starts = async {
            let turns = Arc::new(Semaphore::new(CONCURRENT_STARTS));
            while let Some((id, traceparent)) = self.queue.recv().await {
                let turn = turns.clone().acquire_owned().await;
                let (client, pool, pending) = (client.clone(), pool.clone(), self.pending.clone());
                tokio::spawn(async move {
                    let _turn = turn;
                    if let Err(error) = start(&client, &pool, id, traceparent).await {
                        tracing::warn!(order.id = %id, error, "workflow not started, the sweeper will try again");
                    }
                    pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                });
            }
            Ok(())
        };
        tokio::select! {
            result = work(client.clone(), steps, shutdown.clone()) => result,
            result = starts => result,
        }
    }
}

async fn connect(temporal: &Temporal) -> Result<Client, Fatal> {
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

/// Starts the workflow unless it runs or has succeeded, then notes it.
async fn start(client: &Client, pool: &PgPool, id: OrderId, traceparent: Option<String>) -> Result<(), String> {
    let options = WorkflowStartOptions::new(TASK_QUEUE, id.to_string())
        .id_reuse_policy(WorkflowIdReusePolicy::AllowDuplicateFailedOnly)
        .enable_eager_workflow_start(true)
        .build();
    match client.start_workflow(OrderSaga::run, SagaInput { order_id: id.to_string(), traceparent }, options).await {
        Ok(_) | Err(WorkflowStartError::AlreadyStarted { .. }) => {}
        Err(error) => return Err(error.to_string()),
    }
    store::mark_started(pool, id).await.map_err(|error| error.to_string())
}

/// Runs the worker on a thread of its own: workflows are not `Send`.
async fn work(client: Client, steps: Steps, shutdown: CancellationToken) -> Result<(), Fatal> {
    let handle = tokio::runtime::Handle::current();
    let run = move || -> Result<(), Fatal> {
        let _in_runtime = handle.enter();
        let runtime = Runtime::from_current_tokio(Default::default())?;
        let options = WorkerOptions::new(TASK_QUEUE).register_workflow::<OrderSaga>()?.register_activities(steps).build();
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
