//! What a service needs, checked once a second.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A check that takes longer counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between two rounds once everything is well; while something is missing, rounds come ten times as often.
const INTERVAL: Duration = Duration::from_secs(1);

/// Why a part is not ready, for people.
pub type Unready = String;

type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<(), Unready>> + Send + Sync>;

/// The checks of one service.
#[derive(Clone, Default)]
pub struct Readiness {
    probes: Vec<(&'static str, Probe)>,
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.probes.iter().map(|probe| probe.0)).finish()
    }
}

impl Readiness {
    /// Adds a check of `what`.
    #[must_use]
    pub fn needs<F, Fut>(mut self, what: &'static str, probe: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Unready>> + Send + 'static,
    {
        self.probes.push((what, Arc::new(move || probe().boxed())));
        self
    }

    async fn check(&self) -> Report {
        let checks = self.probes.iter().map(|(what, probe)| {
            let probe = probe();
            async move {
                let result = tokio::time::timeout(CHECK_TIMEOUT, probe).await;
                (*what, result.unwrap_or_else(|_| Err(format!("no answer within {CHECK_TIMEOUT:?}"))))
            }
        });
        Report { checks: futures::future::join_all(checks).await, started: true }
    }

    /// Checks until `shutdown`; each round's result is sent to `reports`.
    pub(crate) async fn watch(self, reports: watch::Sender<Report>, shutdown: CancellationToken) {
        loop {
            let report = self.check().await;
            let pause = if report.is_ready() { INTERVAL } else { INTERVAL / 10 };
            reports.send_if_modified(|last| {
                if last.is_ready() != report.is_ready() {
                    tracing::info!(ready = report.is_ready(), missing = %report.missing(), "readiness changed");
                }
                let changed = *last != report;
                *last = report;
                changed
            });
            if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }
}

/// The result of one round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    checks: Vec<(&'static str, Result<(), Unready>)>,
    started: bool,
}

impl Report {
    pub(crate) fn is_ready(&self) -> bool {
        self.started && self.checks.iter().all(|(_, result)| result.is_ok())
    }

    fn missing(&self) -> String {
        let missing = self.checks.iter().filter_map(|(what, result)| result.as_ref().err().map(|why| format!("{what}: {why}")));
        missing.collect::<Vec<_>>().join("; ")
    }

    pub(crate) fn as_json(&self) -> Value {
        let checks: serde_json::Map<String, Value> = self
            .checks
            .iter()
            .map(|(what, result)| ((*what).to_owned(), result.as_ref().map_or_else(|why| Value::from(why.as_str()), |()| "ok".into())))
            .collect();
        json!({ "ready": self.is_ready(), "checks": checks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_missing_part_makes_the_service_unready() {
        let readiness =
            Readiness::default().needs("postgres", || async { Ok(()) }).needs("kafka", || async { Err("connection refused".to_owned()) });
        let report = readiness.check().await;
        assert!(!report.is_ready());
        assert_eq!(report.as_json()["checks"]["kafka"], "connection refused");
        assert_eq!(report.as_json()["checks"]["postgres"], "ok");
        assert!(!Report::default().is_ready(), "before the first round nothing is ready");
    }
}
