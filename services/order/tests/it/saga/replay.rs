//! Recorded histories replay, so that a workflow that runs since before a change goes on after it.
//!
//! To record the histories anew, or one for a new shape: `cargo test --release --workspace --test it -- --ignored record_histories`.
//! That is right only for shapes that are new, or with a change that is a new `VERSION`: the old histories stay then under names of their own (as
//! `before-the-pivot-step-*.json` and `version-0-*.json` did).

use std::{collections::BTreeSet, fs, path::PathBuf};

use order::saga::{OrderReturn, OrderSaga};
use temporalio_client::WorkflowHistory;
use temporalio_sdk::workflow_replayer::{WorkflowReplayError, WorkflowReplayFailure, WorkflowReplayer, WorkflowReplayerOptions};

use super::{careless, shapes::Shape, world::Sagas};

fn folder() -> PathBuf {
    PathBuf::from("tests/histories")
}

type Fault = Box<dyn std::error::Error>;

/// Every recorded history and its name.
fn recorded() -> Result<Vec<(String, WorkflowHistory)>, Fault> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry?.path();
        let name = path.file_stem().ok_or("a file has a name")?.to_string_lossy().into_owned();
        Ok((name, WorkflowHistory::from_json(&fs::read(&path)?)?))
    };
    fs::read_dir(folder())?.map(read).collect()
}

fn replayer() -> Result<WorkflowReplayer, Fault> {
    let options = WorkflowReplayerOptions::new().register_workflow::<OrderSaga>()?.register_workflow::<OrderReturn>()?;
    Ok(WorkflowReplayer::new(options.build())?)
}

#[tokio::test]
async fn recorded_histories_replay() {
    let histories = recorded().unwrap();
    let names: BTreeSet<&str> = histories.iter().map(|(name, _)| name.as_str()).collect();
    for shape in Shape::ALL {
        assert!(names.contains(shape.name()), "{} is not recorded; the head of this file says how", shape.name());
    }
    let replayer = replayer().unwrap();
    for (name, history) in histories {
        let replayed = replayer.replay_workflow(history).await;
        assert!(replayed.is_ok(), "a workflow that runs since before this change could not go on ({name}): {replayed:?}");
    }
}

#[tokio::test]
async fn every_shape_can_be_played_and_replays() {
    for step_up in ["300ms", "1h"] {
        let world = Sagas::new(step_up).await;
        for shape in Shape::ALL.into_iter().filter(|shape| shape.step_up() == step_up) {
            let workflow = shape.play(&world).await;
            let replayed = replayer().unwrap().replay_workflow(world.history(&workflow)).await;
            assert!(replayed.is_ok(), "{}: {replayed:?}", shape.name());
        }
    }
}

#[tokio::test]
#[ignore = "writes the histories into the source tree"]
async fn record_histories() {
    for step_up in ["300ms", "1h"] {
        let world = Sagas::new(step_up).await;
        for shape in Shape::ALL.into_iter().filter(|shape| shape.step_up() == step_up) {
            let workflow = shape.play(&world).await;
            let history = world.history(&workflow).to_json().await.unwrap();
            fs::write(folder().join(shape.name()).with_extension("json"), history).unwrap();
        }
    }
}

#[tokio::test]
async fn a_changed_order_of_steps_does_not_replay() {
    let options = WorkflowReplayerOptions::new().register_workflow::<careless::OrderSaga>().unwrap().build();
    let replayer = WorkflowReplayer::new(options).unwrap();
    let (_, history) = recorded().unwrap().into_iter().find(|(name, _)| name == "shipped").unwrap();
    let failure = replayer.replay_workflow(history).await.unwrap_err();
    assert!(matches!(failure, WorkflowReplayError::Replay(WorkflowReplayFailure::Nondeterminism { .. })), "{failure:?}");
}
