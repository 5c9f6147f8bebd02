//! A payment service that does not find Temporal, and the worker of its workflows in this process.

use std::{ops::Deref, thread, time::Duration};

use config::Secret;
use ids::OrderId;
use payment::{
    domain::Intent,
    workflow::{self, PaymentCharge, PaymentRefund, PaymentReversal, Step, Steps, TASK_QUEUE},
};
use temporal::Temporal;
use temporalio_client::{
    Client, UntypedWorkflow, WorkflowFetchHistoryOptions, WorkflowGetResultOptions, WorkflowHandle, WorkflowHistory, WorkflowIdReusePolicy,
    WorkflowStartOptions, errors::WorkflowStartError,
};
use tokio::runtime::Runtime;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::faults::Faults;
use crate::World;

/// Workflows are started by the test, and run here.
pub(super) struct Workflows {
    pub(super) faults: Faults,
    client: Client,
    world: World,
    _worker: DropGuard,
    _temporal: testkit::Temporal,
}

impl Deref for Workflows {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

pub(super) fn order_id(order: &str) -> OrderId {
    order.parse().expect("an order's id")
}

/// The key that a refund of an order has at the provider.
pub(super) fn refund(order: &str, name: &str) -> Intent {
    Intent::Refund(order_id(order).step_key(name))
}

impl Workflows {
    pub(super) async fn new() -> Self {
        let (world, temporal) = (World::with_step_up_delay("300ms").await, testkit::Temporal::start().await);
        let at = Temporal { address: temporal.address(), namespace: "default".to_owned() };
        let client = at.connect("payment").await.expect("a sound address");
        let (faults, shutdown) = (Faults::default(), CancellationToken::new());
        let service = world.service.lock().await.address();
        let work = work(at, world.database.clone(), [world.psp_address.clone(), service], faults.clone(), shutdown.clone());
        // A runtime of its own: a test that fails ends, whatever its worker waits for.
        thread::spawn(|| Runtime::new().expect("a runtime can be started").block_on(work));
        Self { faults, client, world, _worker: shutdown.drop_guard(), _temporal: temporal }
    }

    /// Starts the workflow that follows `intent`; its id. False when it runs.
    pub(super) async fn start(&self, order: &str, intent: &Intent) -> (String, bool) {
        let id = workflow::id(order_id(order), intent);
        let refund_key = if let Intent::Refund(key) = intent { key.clone() } else { String::new() };
        let input = Step { order_id: order.to_owned(), refund_key, traceparent: None };
        let options = WorkflowStartOptions::new(TASK_QUEUE, &id).id_reuse_policy(WorkflowIdReusePolicy::AllowDuplicate).build();
        let started = match intent {
            Intent::Authorization | Intent::Capture => self.client.start_workflow(PaymentCharge::run, input, options).await.map(drop),
            Intent::Void => self.client.start_workflow(PaymentReversal::run, input, options).await.map(drop),
            Intent::Refund(_) => self.client.start_workflow(PaymentRefund::run, input, options).await.map(drop),
        };
        match started {
            Ok(()) => (id, true),
            Err(WorkflowStartError::AlreadyStarted { .. }) => (id, false),
            Err(error) => panic!("temporal does not start {id}: {error}"),
        }
    }

    fn handle(&self, workflow: &str) -> WorkflowHandle<Client, UntypedWorkflow> {
        self.client.get_workflow_handle(workflow)
    }

    /// Waits until a workflow has ended well.
    pub(super) async fn ended(&self, workflow: &str) {
        let handle = self.handle(workflow);
        let result = tokio::time::timeout(Duration::from_secs(60), handle.get_result(WorkflowGetResultOptions::default())).await;
        result.unwrap_or_else(|_| panic!("{workflow} does not end; it settled {:?}", self.faults.settled(workflow))).expect("none fails");
    }

    pub(super) fn history(&self, workflow: &str) -> WorkflowHistory {
        self.handle(workflow).fetch_history(WorkflowFetchHistoryOptions::default())
    }
}

/// The worker, as the service runs it but for the faults.
async fn work(temporal: Temporal, database: Secret, [psp, service]: [String; 2], faults: Faults, shutdown: CancellationToken) {
    let pool = store::connect(&database, 4).expect("a database URL");
    let webhooks = format!("{service}/webhooks/psp").parse().expect("a URL");
    let steps = Steps::new(pool, psp.parse().expect("a URL"), webhooks).expect("an HTTP client");
    let mut options = workflow::worker(steps).expect("each workflow is registered once");
    options.activity_inbound_interceptor(faults);
    let client = temporal.connect("payment").await.expect("a sound address");
    ::temporal::work(client, options, shutdown).await.expect("the worker ends when it is told");
}
