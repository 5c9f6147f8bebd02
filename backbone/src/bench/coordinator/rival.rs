//! etcd: the one that `ETCD` names, or is on the PATH, or is built here from its Go modules.

use std::{
    env::{split_paths, var_os},
    ffi::OsStr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::Command;

use crate::output::problem;

/// What is built when there is none: the etcd of the conformance suite, with the sums of all its modules.
const SOURCES: [(&str, &str); 3] = [
    ("main.go", include_str!("../../../../engines/coordinator/etcd/main.go")),
    ("go.mod", include_str!("../../../../engines/coordinator/etcd/go.mod")),
    ("go.sum", include_str!("../../../../engines/coordinator/etcd/go.sum")),
];

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
    let folder = cache.join("etcd");
    let program = folder.join("etcd");
    if is_outdated(&folder, &program) {
        build(&folder)
            .await
            .context("THE RIVAL IS ABSENT: name an etcd by ETCD, put one on the PATH, or install go so that it can be built")?;
    }
    Ok(program)
}

fn is_outdated(folder: &Path, program: &Path) -> bool {
    let is_other = |(name, text): &(&str, &str)| std::fs::read_to_string(folder.join(name)).ok().as_deref() != Some(*text);
    !program.is_file() || SOURCES.iter().any(is_other)
}

async fn build(folder: &Path) -> Result<()> {
    problem(format_args!("building etcd in {}", folder.display()));
    std::fs::create_dir_all(folder)?;
    let _ = std::fs::remove_file(folder.join("etcd"));
    for (name, text) in SOURCES {
        std::fs::write(folder.join(name), text)?;
    }
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
