//! Temporal for services: where it is, the connection to it, and a worker.
//!
//! Services accept work without it and hand it over later, so its absence is no error: connecting only takes longer.

use std::time::Duration;

use config::Reader;
use rpc::process::Fatal;
use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions, GrpcCompression};
use temporalio_sdk::{
    Runtime, Worker, WorkerOptions,
    runtime::worker_tuner::{FixedSizeSlotSupplier, TunerHolder},
};
use tokio_util::sync::CancellationToken;

const RECONNECT: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Workflow tasks that a worker has at once. A task has ten seconds from the moment that a worker takes it, and what it did is done again when they
/// are over; so a slow machine must take few, and leave the others in Temporal's queue, where they wait without a limit.
const TASKS: usize = 16;
/// Steps that it takes at once, local ones and remote ones each.
const STEPS: usize = 2 * TASKS;

/// Where Temporal is.
#[derive(Debug, Clone)]
pub struct Temporal {
    /// `host:port`.
    pub address: String,
    /// Namespace of the workflows.
    pub namespace: String,
}

impl Temporal {
    /// `TEMPORAL_ADDRESS` and `TEMPORAL_NAMESPACE`; by default the one that `backbone up` starts in the first region.
    pub fn read(reader: &mut Reader) -> Self {
        Self { address: reader.text("TEMPORAL_ADDRESS", "127.0.0.1:21233"), namespace: reader.text("TEMPORAL_NAMESPACE", "default") }
    }

    /// Connects as `identity`, however long it takes to be there.
    ///
    /// # Errors
    /// When the address or the namespace cannot be one.
    pub async fn connect(&self, identity: &str) -> Result<Client, Fatal> {
        let target: url::Url = format!("http://{}", self.address).parse()?;
        let mut is_known_to_be_away = false;
        loop {
            // By default every message is packed with gzip, which costs both sides more than it saves between neighbours.
            let options = ConnectionOptions::new(target.clone())
                .identity(identity)
                .connect_timeout(CONNECT_TIMEOUT)
                .dns_load_balancing(None)
                .grpc_compression(GrpcCompression::None)
                .build();
            match Connection::connect(options).await {
                Ok(connection) => {
                    tracing::info!(address = self.address, "temporal is there");
                    return Ok(Client::new(connection, ClientOptions::new(self.namespace.clone()).build())?);
                }
                Err(error) if is_known_to_be_away => tracing::debug!(%error, "temporal is still away"),
                Err(error) => tracing::info!(%error, "temporal is not there yet; its work waits in the database"),
            }
            is_known_to_be_away = true;
            tokio::time::sleep(RECONNECT).await;
        }
    }
}

/// Runs a worker on a thread of its own until `shutdown`: workflows are not `Send`.
///
/// # Errors
/// When it stops by itself.
pub async fn work(client: Client, mut options: WorkerOptions, shutdown: CancellationToken) -> Result<(), Fatal> {
    options.tuner = places().into();
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

fn places() -> TunerHolder {
    TunerHolder::builder()
        .workflow_task_slot_supplier(FixedSizeSlotSupplier::new(TASKS))
        .activity_task_slot_supplier(FixedSizeSlotSupplier::new(STEPS))
        .local_activity_task_slot_supplier(FixedSizeSlotSupplier::new(STEPS))
        .nexus_task_slot_supplier(FixedSizeSlotSupplier::new(1))
        .build()
}
