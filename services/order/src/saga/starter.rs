//! Starts workflows and wakes them, in the background: no request waits for Temporal.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ids::OrderId;
use sqlx::PgPool;
use temporalio_client::{
    Client, WorkflowIdReusePolicy, WorkflowSignalOptions, WorkflowStartOptions,
    errors::{WorkflowInteractionError, WorkflowStartError},
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::Instant,
};

use super::{Flow, OrderReturn, OrderSaga, SagaInput, TASK_QUEUE};
use crate::store::{Pressure, sagas};

/// Errands that wait for their turn; more are left to the sweeper.
const WAITING: usize = 10_000;
/// Errands under way at once.
const CONCURRENT: usize = 32;
/// While orders come faster than they can be stored, a workflow is started only this often: whoever waits for an answer goes first.
const YIELD: Duration = Duration::from_millis(250);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// Starts are noted together, so often.
const NOTE_EVERY: Duration = Duration::from_millis(100);

/// What is to be done at Temporal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Errand {
    /// Start the order's workflow.
    Start(OrderId),
    /// Start its return.
    StartReturn(OrderId),
    /// Tell the order's workflow that it is to be cancelled.
    TellCancelled(OrderId),
}

type Waiting = (Errand, Option<String>);
type Pending = Arc<Mutex<HashSet<Errand>>>;

/// Starts workflows and signals them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Starter {
    queue: mpsc::Sender<Waiting>,
    pending: Pending,
    client: watch::Receiver<Option<Client>>,
}

/// The other end of a [`Starter`].
pub(super) struct Errands {
    queue: mpsc::Receiver<Waiting>,
    pending: Pending,
}

/// A starter, what does its errands, and where it is told of the connection.
pub(super) fn channel() -> (Starter, Errands, watch::Sender<Option<Client>>) {
    let (queue, waiting) = mpsc::channel(WAITING);
    let (client, connected) = watch::channel(None);
    let pending = Pending::default();
    (Starter { queue, pending: pending.clone(), client: connected }, Errands { queue: waiting, pending }, client)
}

impl Starter {
    /// Starts the order's workflow in the background. One that cannot be started now is left to the sweeper.
    pub(crate) fn start_soon(&self, id: OrderId) {
        self.soon(Errand::Start(id));
    }

    /// Starts the return of the order in the background. One that cannot be started now is left to the sweeper.
    pub(crate) fn start_return_soon(&self, id: OrderId) {
        self.soon(Errand::StartReturn(id));
    }

    /// Tells the order's workflow in the background that its shopper cancelled. A workflow that is not told sees it at its next step.
    pub(crate) fn tell_cancelled_soon(&self, id: OrderId) {
        self.soon(Errand::TellCancelled(id));
    }

    fn soon(&self, errand: Errand) {
        let is_new = self.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(errand);
        if is_new && self.queue.try_send((errand, telemetry::current_traceparent())).is_err() {
            self.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&errand);
        }
    }

    /// Tells the order's workflow that its payment changed. One that has ended needs no telling.
    ///
    /// # Errors
    /// When Temporal is away.
    pub(crate) async fn payment_changed(&self, id: OrderId) -> Result<(), String> {
        let client = self.client.borrow().clone().ok_or("temporal is not connected")?;
        let handle = client.get_workflow_handle::<OrderSaga>(id.to_string());
        told(handle.signal(OrderSaga::payment_changed, (), WorkflowSignalOptions::default()).await)
    }

    /// A readiness check: Temporal is connected.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn is_connected(&self) -> Result<(), String> {
        self.client.borrow().as_ref().map(drop).ok_or_else(|| "not connected".to_owned())
    }
}

impl Errands {
    /// Does errands as they come.
    pub(super) async fn run(mut self, client: Client, pool: PgPool, pressure: Pressure, flow: Flow) {
        let turns = Arc::new(Semaphore::new(CONCURRENT));
        let (started, starts) = mpsc::channel(WAITING);
        let note = note(starts, pool.clone(), self.pending.clone());
        let work = async {
            let started = started;
            while let Some((errand, traceparent)) = self.queue.recv().await {
                if let Errand::Start(id) = errand {
                    yield_to_orders(&pressure).await;
                    flow.enter(id).await;
                }
                let turn = turns.clone().acquire_owned().await;
                let (client, pool, pending, started) = (client.clone(), pool.clone(), self.pending.clone(), started.clone());
                let flow = flow.clone();
                tokio::spawn(async move {
                    let _turn = turn;
                    let done = match errand {
                        Errand::Start(id) => match start(&client, id, traceparent).await {
                            Ok(is_new) => {
                                if !is_new {
                                    flow.leave(id);
                                }
                                // It is pending until it is noted, so that the sweeper does not send it again.
                                match started.send(id).await {
                                    Ok(()) => return,
                                    Err(_) => Ok(()),
                                }
                            }
                            Err(error) => {
                                flow.leave(id);
                                Err(error)
                            }
                        },
                        Errand::StartReturn(id) => start_return(&client, &pool, id, traceparent).await,
                        Errand::TellCancelled(id) => tell_cancelled(&client, id).await,
                    };
                    if let Err(error) = done {
                        tracing::warn!(?errand, error, "not done at temporal; the sweeper or the workflow's next step makes up for it");
                    }
                    pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&errand);
                });
            }
        };
        tokio::join!(work, note);
    }
}

/// Sagas are nobody's answer, so they wait while orders come in; not for ever, or no order would end while the flood lasts.
async fn yield_to_orders(pressure: &Pressure) {
    let end = Instant::now() + YIELD;
    while pressure.is_high() && Instant::now() < end {
        tokio::time::sleep(LOOK).await;
    }
}

/// Notes the workflows that were started, many in one commit. One that is not noted is started again, which is no harm.
async fn note(mut starts: mpsc::Receiver<OrderId>, pool: PgPool, pending: Pending) {
    let mut ids = Vec::new();
    while starts.recv_many(&mut ids, WAITING).await > 0 {
        if let Err(error) = sagas::mark_started(&pool, &ids).await {
            tracing::warn!(%error, workflows = ids.len(), "not noted as started; the sweeper makes up for it");
        }
        {
            let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.retain(|errand| !matches!(errand, Errand::Start(id) if ids.contains(id)));
            ids.clear();
        }
        tokio::time::sleep(NOTE_EVERY).await;
    }
}

/// The id of the order's return workflow.
pub(super) fn return_id(id: OrderId) -> String {
    id.step_key("return")
}

fn options(workflow_id: String) -> WorkflowStartOptions {
    WorkflowStartOptions::new(TASK_QUEUE, workflow_id)
        .id_reuse_policy(WorkflowIdReusePolicy::AllowDuplicateFailedOnly)
        .enable_eager_workflow_start(true)
        .build()
}

/// Starts the order's workflow unless it runs or has succeeded. True when this call did.
async fn start(client: &Client, id: OrderId, traceparent: Option<String>) -> Result<bool, String> {
    let input = SagaInput::new(id.to_string(), traceparent);
    match client.start_workflow(OrderSaga::run, input, options(id.to_string())).await {
        Ok(_) => Ok(true),
        Err(WorkflowStartError::AlreadyStarted { .. }) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

/// The same for its return, which is noted at once.
async fn start_return(client: &Client, pool: &PgPool, id: OrderId, traceparent: Option<String>) -> Result<(), String> {
    let input = SagaInput::new(id.to_string(), traceparent);
    match client.start_workflow(OrderReturn::run, input, options(return_id(id))).await {
        Ok(_) | Err(WorkflowStartError::AlreadyStarted { .. }) => {}
        Err(error) => return Err(error.to_string()),
    }
    sagas::mark_return_started(pool, id).await.map_err(|error| error.to_string())
}

async fn tell_cancelled(client: &Client, id: OrderId) -> Result<(), String> {
    let handle = client.get_workflow_handle::<OrderSaga>(id.to_string());
    told(handle.signal(OrderSaga::cancel_requested, (), WorkflowSignalOptions::default()).await)
}

/// A workflow that has ended, or has not begun, needs no telling.
fn told(signalled: Result<(), WorkflowInteractionError>) -> Result<(), String> {
    match signalled {
        Ok(()) | Err(WorkflowInteractionError::NotFound(_)) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
