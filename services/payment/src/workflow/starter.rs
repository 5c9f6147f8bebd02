//! Starts workflows in the background: no call waits for Temporal.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ids::OrderId;
use temporalio_client::{Client, WorkflowIdReusePolicy, WorkflowStartOptions, errors::WorkflowStartError};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};

use super::{Kind, PaymentCharge, PaymentRefund, PaymentReversal, Step, TASK_QUEUE};
use crate::{domain::Intent, metrics};

/// Errands that wait for their turn, or for Temporal; more are left to the sweeper.
const WAITING: usize = 10_000;
/// Errands under way at once.
const CONCURRENT: usize = 16;
/// Longest wait for Temporal's answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// For how long a workflow that was started is not started again. One that runs says so when it is, so this only spares Temporal the asking.
const REST: Duration = Duration::from_secs(30);

type Name = (OrderId, Intent);

struct Errand {
    order_id: OrderId,
    intent: Intent,
    traceparent: Option<String>,
}

/// What waits to be started, without a time, and what was started lately.
#[derive(Debug, Clone, Default)]
struct Recent(Arc<Mutex<HashMap<Name, Option<Instant>>>>);

impl Recent {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Option<Instant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when it neither waits nor rests; it waits from now on.
    fn wait(&self, name: &Name, now: Instant) -> bool {
        let mut recent = self.lock();
        if recent.get(name).is_some_and(|started| started.is_none_or(|at| now.duration_since(at) < REST)) {
            return false;
        }
        recent.insert(name.clone(), None);
        true
    }

    fn rest(&self, name: Name, now: Instant) {
        self.lock().insert(name, Some(now));
    }

    fn forget(&self, name: &Name) {
        self.lock().remove(name);
    }

    fn forget_old(&self, now: Instant) {
        self.lock().retain(|_, started| started.is_none_or(|at| now.duration_since(at) < REST));
    }
}

/// Starts workflows. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Starter {
    queue: mpsc::Sender<Errand>,
    recent: Recent,
}

/// The other end of a [`Starter`].
pub(super) struct Errands {
    queue: mpsc::Receiver<Errand>,
    recent: Recent,
}

/// A starter and what does its errands.
pub(super) fn channel() -> (Starter, Errands) {
    let (queue, waiting) = mpsc::channel(WAITING);
    let recent = Recent::default();
    (Starter { queue, recent: recent.clone() }, Errands { queue: waiting, recent })
}

impl Starter {
    /// Starts the workflow that follows `intent`, in the background, as soon as Temporal is there. One that cannot be started is left to the sweeper.
    pub(crate) fn start_soon(&self, order_id: OrderId, intent: Intent) {
        let name = (order_id, intent.clone());
        if !self.recent.wait(&name, Instant::now()) {
            return;
        }
        let traceparent = telemetry::current_traceparent();
        if self.queue.try_send(Errand { order_id, intent, traceparent }).is_err() {
            self.recent.forget(&name);
        }
    }

    /// Forgets what was started long ago, so that it may be started again.
    pub(crate) fn forget_old(&self) {
        self.recent.forget_old(Instant::now());
    }
}

/// Hands an intent over to its workflow when it is dropped, unless it was settled before: so also when its caller went away.
pub(crate) struct Handover<'s> {
    starter: &'s Starter,
    open: Option<Name>,
}

impl<'s> Handover<'s> {
    pub(crate) fn new(starter: &'s Starter, order_id: OrderId, intent: Intent) -> Self {
        Self { starter, open: Some((order_id, intent)) }
    }

    /// There is nothing to follow any more.
    pub(crate) fn settled(mut self) {
        self.open = None;
    }
}

impl Drop for Handover<'_> {
    fn drop(&mut self) {
        if let Some((order_id, intent)) = self.open.take() {
            self.starter.start_soon(order_id, intent);
        }
    }
}

impl Errands {
    /// Does errands as they come.
    pub(super) async fn run(&mut self, client: Client) {
        let turns = Arc::new(Semaphore::new(CONCURRENT));
        while let Some(errand) = self.queue.recv().await {
            let turn = turns.clone().acquire_owned().await;
            let (client, recent) = (client.clone(), self.recent.clone());
            tokio::spawn(async move {
                let _turn = turn;
                let name = (errand.order_id, errand.intent.clone());
                let started =
                    timeout(PATIENCE, start(&client, errand)).await.unwrap_or_else(|_| Err("temporal does not answer".to_owned()));
                match started {
                    Ok(is_new) => {
                        if is_new {
                            metrics::count_started(Kind::of(&name.1));
                        }
                        recent.rest(name, Instant::now());
                    }
                    Err(error) => {
                        tracing::warn!(order.id = %name.0, intent = ?name.1, error, "not started; the sweeper makes up for it");
                        recent.forget(&name);
                    }
                }
            });
        }
    }
}

/// Starts the workflow unless it runs. True when it did not.
///
/// One that has ended may run again. A payment has one charge workflow, and its capture may be left open long after its authorization was
/// settled; and a key whose refund could not be made may be used for a smaller one. What may happen once is seen to by the row and by the
/// provider's keys, which outlive what Temporal remembers of workflows that have ended.
async fn start(client: &Client, errand: Errand) -> Result<bool, String> {
    let Errand { order_id, intent, traceparent } = errand;
    let options = WorkflowStartOptions::new(TASK_QUEUE, super::id(order_id, &intent))
        .id_reuse_policy(WorkflowIdReusePolicy::AllowDuplicate)
        .enable_eager_workflow_start(true)
        .build();
    let kind = Kind::of(&intent);
    let refund_key = if let Intent::Refund(key) = intent { key } else { String::new() };
    let input = Step { order_id: order_id.to_string(), refund_key, traceparent };
    let started = match kind {
        Kind::Charge => client.start_workflow(PaymentCharge::run, input, options).await.map(drop),
        Kind::Refund => client.start_workflow(PaymentRefund::run, input, options).await.map(drop),
        Kind::Reversal => client.start_workflow(PaymentReversal::run, input, options).await.map(drop),
    };
    match started {
        Ok(()) => Ok(true),
        Err(WorkflowStartError::AlreadyStarted { .. }) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_or_was_started_rests_and_may_then_be_started_again() {
        let (recent, now) = (Recent::default(), Instant::now());
        let order_id = OrderId::from_uuid(uuid::Uuid::now_v7());
        let (name, void) = ((order_id, Intent::Capture), (order_id, Intent::Void));
        assert!(recent.wait(&name, now));
        recent.forget_old(now + REST);
        assert!(!recent.wait(&name, now + REST), "it waits, however long");
        recent.forget(&name);
        assert!(recent.wait(&name, now), "it could not be started");
        assert!(recent.wait(&void, now), "each intent waits by itself");
        recent.rest(name.clone(), now);
        assert!(!recent.wait(&name, now));
        assert!(recent.wait(&name, now + REST));
        recent.rest(name, now);
        recent.rest(void, now);
        recent.forget_old(now + REST);
        assert!(recent.lock().is_empty());
    }
}
