//! Disturbs steps of single workflows: around the real step, as Temporal calls it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use temporalio_sdk::{
    ApplicationFailure,
    activities::ActivityError,
    interceptors::{ActivityInboundInterceptor, ExecuteActivityInput, ExecuteActivityOutput, Next},
};

/// What happens to a step.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// It fails so many times before it has done anything.
    Before(u32),
    /// It fails so many times after it has done all: its answer is lost, and it is taken again.
    After(u32),
}

/// The faults of all workflows, and which steps were settled. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    faults: HashMap<(String, &'static str), Fault>,
    settled: HashMap<String, Vec<String>>,
}

impl Faults {
    /// Disturbs `step` of a workflow.
    pub(super) fn set(&self, workflow: &str, step: &'static str, fault: Fault) {
        self.0.lock().expect("no holder of this lock panics").faults.insert((workflow.to_owned(), step), fault);
    }

    /// The ids of the steps that a workflow has settled, each as often as that was so.
    pub(super) fn settled(&self, workflow: &str) -> Vec<String> {
        self.0.lock().expect("no holder of this lock panics").settled.get(workflow).cloned().unwrap_or_default()
    }

    /// The fault of this call, which is used up with it.
    fn next(&self, workflow: &str, step: &str) -> Option<Fault> {
        let mut state = self.0.lock().expect("no holder of this lock panics");
        let (_, fault) = state.faults.iter_mut().find(|((of, name), _)| of == workflow && *name == step)?;
        let used = *fault;
        let (Fault::Before(left) | Fault::After(left)) = fault;
        *left = left.checked_sub(1)?;
        Some(used)
    }

    fn note(&self, workflow: &str, step: String) {
        self.0.lock().expect("no holder of this lock panics").settled.entry(workflow.to_owned()).or_default().push(step);
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
            let id = info.activity_id.clone();
            let fault = self.next(&workflow, &step);
            if matches!(fault, Some(Fault::Before(_))) {
                return Err(lost());
            }
            let answer = next.run(input).await;
            if answer.is_ok() {
                self.note(&workflow, id);
            }
            if matches!(fault, Some(Fault::After(_))) { Err(lost()) } else { answer }
        })
    }
}
