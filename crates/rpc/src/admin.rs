//! The admin port: metrics and health for machines.

use axum::{Json, Router, http::StatusCode, routing::get};
use serde_json::Value;
use telemetry::Metrics;
use tokio::sync::watch;

use crate::readiness::Report;

/// `/metrics` (Prometheus), `/livez` (the process answers), `/readyz` (what it needs is there: 200 or 503 with the reason).
pub(crate) fn router(metrics: Metrics, reports: watch::Receiver<Report>) -> Router {
    let ready = move || async move {
        let report = reports.borrow();
        let status = if report.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json::<Value>(report.as_json()))
    };
    Router::new()
        .route("/metrics", get(move || async move { ([("content-type", "text/plain; version=0.0.4")], metrics.render()) }))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
}
