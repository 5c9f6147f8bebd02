//! Logs, traces and metrics of every process.
//!
//! Logs are JSON lines on standard error with the trace id of the span they were written in. Traces carry W3C context whether or not
//! they are exported; they are exported over OTLP when `OTEL_EXPORTER_OTLP_ENDPOINT` is set. Metrics are rendered for Prometheus.

mod context;
mod log;

use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _};

pub use context::{continue_trace, current_traceparent, from_headers, to_headers};

/// What is told when nothing else is asked for. Temporal's SDK opens a span for each event of a history, with the event in it as text: too much
/// for what it tells; so does openraft for each vote and each snapshot.
pub const FILTER: &str = "info,openraft=warn,temporalio_sdk_core=warn,temporalio_sdk=warn";

/// Who is speaking.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the service.
    pub service: &'static str,
    /// Region, or `global`.
    pub region: String,
    /// Where to send traces, e.g. `http://127.0.0.1:4317`; nowhere when absent.
    pub otlp_endpoint: Option<String>,
    /// What is told, as in `RUST_LOG`: levels, and targets with theirs. Fields of spans are not asked for, which would take regular expressions.
    pub filter: String,
}

/// Keeps telemetry alive; [`Telemetry::shutdown`] sends what is still held.
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
    prometheus: PrometheusHandle,
}

/// Bounds of latency histograms, seconds.
const LATENCY_BOUNDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Starts logs, traces and metrics. Once a process, inside a tokio runtime.
///
/// # Errors
/// When the exporter cannot be built or telemetry was started before.
pub fn start(options: Options) -> Result<Telemetry, Box<dyn std::error::Error + Send + Sync>> {
    let resource = Resource::builder()
        .with_service_name(options.service)
        .with_attribute(KeyValue::new("service.namespace", "market"))
        .with_attribute(KeyValue::new("cloud.region", options.region.clone()))
        .build();
    let mut provider = SdkTracerProvider::builder().with_resource(resource);
    if let Some(endpoint) = &options.otlp_endpoint {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(Duration::from_secs(5))
            .build()?;
        provider = provider.with_batch_exporter(exporter);
    }
    let provider = provider.build();
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    opentelemetry::global::set_tracer_provider(provider.clone());

    let filter: Targets = options.filter.parse()?;
    tracing_subscriber::registry()
        .with(filter)
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("market")))
        .with(log::layer(options.service, options.region))
        .try_init()?;

    let prometheus = PrometheusBuilder::new().set_buckets(&LATENCY_BOUNDS)?.install_recorder()?;
    Ok(Telemetry { provider, prometheus })
}

impl Telemetry {
    /// A handle that renders the metrics.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics(self.prometheus.clone())
    }

    /// Sends what is still held. Call off the async threads.
    pub fn shutdown(self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::debug!(%error, "traces not flushed");
        }
    }
}

/// Renders the metrics of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Folds what was measured into the histograms. Without it, and without anybody who reads the metrics, measurements pile up.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }

    /// Prometheus text exposition format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}
