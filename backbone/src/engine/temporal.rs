//! The Temporal dev server: one per region, its state in `SQLite`.

use anyhow::{Context as _, Result};

use super::Context;
use crate::{plan::Part, process::Launch};

/// What its health check answers for.
pub(super) const SERVICE: &str = "temporal.api.workflowservice.v1.WorkflowService";

/// Makes the data folder.
pub(super) fn prepare(context: &Context, part: &Part) -> Result<()> {
    let data = context.home.data(part);
    std::fs::create_dir_all(&data).with_context(|| format!("create {}", data.display()))
}

pub(super) fn launch(context: &Context, part: &Part) -> Launch {
    let database = context.home.data(part).join("temporal.db").display().to_string();
    let mut launch = Launch::new(context.installed.temporal());
    launch = launch.args(["server", "start-dev", "--disable-config-file", "--disable-config-env", "--log-level", "warn"]);
    launch = launch.args(["--ip".to_owned(), "127.0.0.1".to_owned(), "--port".to_owned(), part.port().to_string()]);
    launch = launch.args(part.ports.get(1).into_iter().flat_map(|ui| ["--ui-port".to_owned(), ui.number.to_string()]));
    // synchronous=off: a write is with the kernel when it is acknowledged, so killing every process loses nothing; only a
    // power cut can. With a sync at each commit a saga takes several times as long.
    launch = launch.args(["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=off"]);
    launch = launch.args(["--db-filename".to_owned(), database]);
    // Go gives memory back late by default; the server is idle most of the time.
    launch.env.insert("GOGC".to_owned(), "100".to_owned());
    launch
}
