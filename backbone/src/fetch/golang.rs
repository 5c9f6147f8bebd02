//! Temporal and nats-server, built from their Go modules.

use std::{ffi::OsStr, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{lock::GoModule, mismatch, run};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    sum: String,
}

/// Checks the module's sum, then builds its program into `target`. The modules that it needs are checked by its own go.sum.
pub(super) async fn install(lock: &GoModule, target: &Path) -> Result<()> {
    let GoModule { version, module, package, sum } = lock;
    // A go.work of the user must not bend a build that is pinned.
    let env = [("GOWORK", OsStr::new("off")), ("GOBIN", target.as_os_str()), ("CGO_ENABLED", OsStr::new("0"))];
    let versioned = format!("{module}@v{version}");
    let answer = run("go", &["mod", "download", "-json", &versioned], &env, target).await?;
    let downloaded: Downloaded = serde_json::from_slice(&answer).context("read the answer of `go mod download`")?;
    if downloaded.sum != *sum {
        return Err(mismatch(&versioned, sum, &downloaded.sum));
    }
    run("go", &["install", "-trimpath", "-ldflags=-s -w", &format!("{package}@v{version}")], &env, target).await?;
    Ok(())
}
