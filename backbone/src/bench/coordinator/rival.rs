//! etcd: the one that `ETCD` names, or is on the PATH, or is built here from its Go modules.

use std::{
    env::{split_paths, var_os},
    ffi::OsStr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::Command;

use crate::output::problem;

/// What is built when there is none.
const VERSION: &str = "3.7.3";
const MODULE: &str = "go.etcd.io/etcd/server/v3";
/// etcd's own `main` cannot be installed by its module's name, as that module replaces others; its parts can be used.
const MAIN: &str = "package main

import (
	\"os\"

	\"go.etcd.io/etcd/server/v3/etcdmain\"
)

func main() { etcdmain.Main(os.Args) }
";

/// An etcd that can be run.
///
/// # Errors
/// When there is none and none can be built: a comparison without the rival says nothing.
pub(super) async fn find(cache: &Path) -> Result<PathBuf> {
    if let Some(named) = var_os("ETCD").map(PathBuf::from) {
        ensure!(named.is_file(), "ETCD names {}, which is no file", named.display());
        return Ok(named);
    }
    let on_path = var_os("PATH").and_then(|path| split_paths(&path).map(|folder| folder.join("etcd")).find(|file| file.is_file()));
    if let Some(found) = on_path {
        return Ok(found);
    }
    let folder = cache.join(format!("etcd-{VERSION}"));
    let program = folder.join("etcd");
    if !program.is_file() {
        build(&folder)
            .await
            .context("THE RIVAL IS ABSENT: name an etcd by ETCD, put one on the PATH, or install go so that it can be built")?;
    }
    Ok(program)
}

async fn build(folder: &Path) -> Result<()> {
    problem(format_args!("building etcd {VERSION} in {}", folder.display()));
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("main.go"), MAIN)?;
    std::fs::write(folder.join("go.mod"), "module etcd\n")?;
    go(folder, &["get", &format!("{MODULE}@v{VERSION}")]).await?;
    go(folder, &["build", "-trimpath", "-ldflags=-s -w", "-o", "etcd", "."]).await
}

async fn go(folder: &Path, arguments: &[&str]) -> Result<()> {
    let mut run = Command::new("go");
    run.args(arguments).current_dir(folder).env("GOWORK", OsStr::new("off")).env("CGO_ENABLED", OsStr::new("0"));
    let output = run.output().await.context("run go")?;
    if !output.status.success() {
        bail!("go {}: {}", arguments[0], String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// What it says of itself.
pub(super) async fn version(etcd: &Path) -> Result<String> {
    let output = Command::new(etcd).arg("--version").output().await.with_context(|| format!("run {}", etcd.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or("etcd of an unknown version").to_owned())
}
