//! A market, and the sagas' worker in this process.

use std::{ops::Deref, thread, time::Duration};

use config::Secret;
use ids::{OrderId, Region};
use order::saga::{self, OrderReturn, OrderSaga, SagaInput, Steps, TASK_QUEUE};
use proto::order::v1::Order;
use temporal::Temporal;
use temporalio_client::{
    Client, UntypedWorkflow, WorkflowFetchHistoryOptions, WorkflowGetResultOptions, WorkflowHandle, WorkflowHistory, WorkflowSignalOptions,
    WorkflowStartOptions, errors::WorkflowGetResultError,
};
use tokio::runtime::Runtime;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::faults::Faults;
use crate::market::Market;

/// Workflows are started by the test, and run here.
pub(super) struct Sagas {
    pub(super) faults: Faults,
    client: Client,
    market: Market,
    _worker: DropGuard,
}

impl Deref for Sagas {
    type Target = Market;

    fn deref(&self) -> &Market {
        &self.market
    }
}

impl Sagas {
    /// `step_up` is how long the shopper takes to answer the bank.
    pub(super) async fn new(step_up: &str) -> Self {
        let market = Market::without_sagas(step_up).await;
        let at = Temporal { address: market.temporal.address(), namespace: "default".to_owned() };
        let client = at.connect("order").await.expect("a sound address");
        let faults = Faults::default();
        let shutdown = CancellationToken::new();
        let work = work(
            at,
            market.orders.database.clone(),
            [market.inventory_address(), market.payment_address()],
            faults.clone(),
            shutdown.clone(),
        );
        // A runtime of its own: a test that fails ends, whatever its worker waits for.
        thread::spawn(|| Runtime::new().expect("a runtime can be started").block_on(work));
        Self { faults, client, market, _worker: shutdown.drop_guard() }
    }

    /// Starts the order's saga.
    pub(super) async fn start(&self, order: &Order) {
        self.start_version(order, SagaInput::new(order.order_id.clone(), None).version).await;
    }

    /// The same as it was started once.
    pub(super) async fn start_version(&self, order: &Order, version: u32) {
        let input = SagaInput { version, ..SagaInput::new(order.order_id.clone(), None) };
        let options = WorkflowStartOptions::new(TASK_QUEUE, &order.order_id).build();
        self.client.start_workflow(OrderSaga::run, input, options).await.expect("temporal starts it");
    }

    /// Starts the saga of its return; the workflow's id.
    pub(super) async fn start_return(&self, order: &Order) -> String {
        let id: OrderId = order.order_id.parse().expect("an order's id");
        let id = id.step_key("return");
        let input = SagaInput::new(order.order_id.clone(), None);
        let options = WorkflowStartOptions::new(TASK_QUEUE, &id).build();
        self.client.start_workflow(OrderReturn::run, input, options).await.expect("temporal starts it");
        id
    }

    /// Tells the saga that the payment changed.
    pub(super) async fn signal_payment(&self, order: &Order) {
        let handle = self.client.get_workflow_handle::<OrderSaga>(&order.order_id);
        handle.signal(OrderSaga::payment_changed, (), WorkflowSignalOptions::default()).await.expect("it runs");
    }

    /// Tells the saga that its shopper cancelled.
    pub(super) async fn signal_cancel(&self, order: &Order) {
        let handle = self.client.get_workflow_handle::<OrderSaga>(&order.order_id);
        handle.signal(OrderSaga::cancel_requested, (), WorkflowSignalOptions::default()).await.expect("it runs");
    }

    fn handle(&self, workflow: &str) -> WorkflowHandle<Client, UntypedWorkflow> {
        self.client.get_workflow_handle(workflow)
    }

    /// Waits until a workflow has ended well.
    pub(super) async fn ended(&self, workflow: &str) {
        assert!(self.is_completed(workflow).await, "{workflow} has failed");
    }

    /// Waits until a workflow has ended: well, or by giving up.
    pub(super) async fn is_completed(&self, workflow: &str) -> bool {
        let handle = self.handle(workflow);
        let result = tokio::time::timeout(Duration::from_secs(90), handle.get_result(WorkflowGetResultOptions::default())).await;
        let result = result.unwrap_or_else(|_| panic!("{workflow} does not end; it took {:?}", self.faults.taken(workflow)));
        match result {
            Ok(_) => true,
            Err(WorkflowGetResultError::Failed(_)) => false,
            Err(error) => panic!("{workflow}: {error}"),
        }
    }

    /// Has the order's home held by `holder` from now on.
    pub(super) async fn move_home(&self, holder: Region, epoch: i64) {
        let mut database = testkit::postgres().await.superuser(&self.orders.database).await;
        let moved = sqlx::query("SELECT region.set_home('eu', $1, $2, 100000)").bind(holder.as_str()).bind(epoch);
        moved.execute(&mut database).await.expect("an operator may");
    }

    pub(super) fn history(&self, workflow: &str) -> WorkflowHistory {
        self.handle(workflow).fetch_history(WorkflowFetchHistoryOptions::default())
    }
}

/// The worker, as the service runs it but for the faults.
async fn work(temporal: Temporal, database: Secret, [inventory, payment]: [String; 2], faults: Faults, shutdown: CancellationToken) {
    let channel = |address: String| rpc::channel(address.parse().expect("an address"));
    let pool = store::connect(&database, 8).expect("a database URL");
    let mut options = saga::worker(Steps::new(pool, channel(inventory), channel(payment))).expect("each workflow is registered once");
    options.activity_inbound_interceptor(faults);
    let client = temporal.connect("order").await.expect("a sound address");
    ::temporal::work(client, options, shutdown).await.expect("the worker ends when it is told");
}
