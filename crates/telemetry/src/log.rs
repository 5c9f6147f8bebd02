//! Log lines: one JSON object each, with the trace id of the span they were written in.

use std::{fmt, io::Write as _};

use opentelemetry::trace::TraceContextExt as _;
use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(service: &'static str, region: String) -> impl Layer<S> {
    Lines { service, region }
}

struct Lines {
    service: &'static str,
    region: String,
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Map::new();
        let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        line.insert("time".to_owned(), now.into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("service".to_owned(), self.service.into());
        line.insert("region".to_owned(), self.region.as_str().into());
        let trace = opentelemetry::Context::current().span().span_context().clone();
        if trace.is_valid() {
            line.insert("trace_id".to_owned(), trace.trace_id().to_string().into());
            line.insert("span_id".to_owned(), trace.span_id().to_string().into());
        }
        line.insert("target".to_owned(), event.metadata().target().into());
        event.record(&mut Fields(&mut line));
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // A log that cannot be written has nowhere to be reported.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}
