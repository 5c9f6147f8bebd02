//! Disturbs steps of single workflows: around the real step, as Temporal calls it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use temporalio_sdk::{
    ApplicationFailure,
    activities::ActivityError,
    interceptors::{ActivityInboundInterceptor, ExecuteActivityInput, ExecuteActivityOutput, Next},
};
use tokio::sync::Semaphore;

/// What happens to a step.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// It fails so many times before it has done anything.
    Before(u32),
    /// It fails so many times after it has done all: its answer is lost, and it is taken again.
    After(u32),
    /// It is slow so many times.
    Slow(u32, Duration),
    /// It begins when the test lets it.
    Held(Gate),
}

/// Holds a step.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    reached: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { reached: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) }
    }

    /// Waits until a step stands before the gate.
    pub(super) async fn reached(&self) {
        let reached = tokio::time::timeout(Duration::from_secs(30), self.reached.acquire()).await;
        reached.expect("a step comes to the gate").expect("the gate is never closed").forget();
    }

    /// Lets it and all later ones through.
    pub(super) fn open(&self) {
        self.open.add_permits(1);
    }

    async fn pass(&self) {
        self.reached.add_permits(1);
        drop(self.open.acquire().await);
    }
}

/// The faults of all workflows, and which steps were taken. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    faults: HashMap<(String, &'static str), Fault>,
    taken: HashMap<String, Vec<String>>,
}

impl Faults {
    /// Disturbs `step` of a workflow.
    pub(super) fn set(&self, workflow: &str, step: &'static str, fault: Fault) {
        self.0.lock().expect("no holder of this lock panics").faults.insert((workflow.to_owned(), step), fault);
    }

    /// The steps that a workflow has taken to their end, each as often as that was so.
    pub(super) fn taken(&self, workflow: &str) -> Vec<String> {
        self.0.lock().expect("no holder of this lock panics").taken.get(workflow).cloned().unwrap_or_default()
    }

    /// The fault of this call, which is used up with it.
    fn next(&self, workflow: &str, step: &str) -> Option<Fault> {
        let mut state = self.0.lock().expect("no holder of this lock panics");
        let (_, fault) = state.faults.iter_mut().find(|((of, name), _)| of == workflow && *name == step)?;
        let used = fault.clone();
        match fault {
            Fault::Before(left) | Fault::After(left) | Fault::Slow(left, _) => {
                *left = left.checked_sub(1)?;
            }
            Fault::Held(_) => {}
        }
        Some(used)
    }

    fn note(&self, workflow: &str, step: &str) {
        self.0.lock().expect("no holder of this lock panics").taken.entry(workflow.to_owned()).or_default().push(step.to_owned());
    }
}

fn lost() -> ActivityError {
    ActivityError::application(ApplicationFailure::new("disturbed by the test"))
}

impl ActivityInboundInterceptor for Faults {
    fn execute_activity<'a>(
        &'a self,
        input: ExecuteActivityInput,
        next: Next<'a, ExecuteActivityInput, ExecuteActivityOutput<'a>>,
    ) -> ExecuteActivityOutput<'a> {
        Box::pin(async move {
            let info = input.activity_info();
            let workflow = info.workflow_id.clone().unwrap_or_default();
            let step = info.activity_type.rsplit("::").next().unwrap_or_default().to_owned();
            let fault = self.next(&workflow, &step);
            match &fault {
                Some(Fault::Before(_)) => return Err(lost()),
                Some(Fault::Slow(_, time)) => tokio::time::sleep(*time).await,
                Some(Fault::Held(gate)) => gate.pass().await,
                Some(Fault::After(_)) | None => {}
            }
            let answer = next.run(input).await;
            self.note(&workflow, &step);
            if matches!(fault, Some(Fault::After(_))) { Err(lost()) } else { answer }
        })
    }
}
