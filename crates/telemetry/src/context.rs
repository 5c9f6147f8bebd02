//! W3C trace context through headers, outbox rows, Kafka headers and workflow inputs.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

fn adopt(span: &Span, parent: Context) {
    if let Err(error) = span.set_parent(parent) {
        tracing::trace!(%error, "span keeps its own trace");
    }
}

/// Makes `span` a child of the trace named in `headers`, if there is one.
pub fn from_headers(span: &Span, headers: &HeaderMap) {
    adopt(span, opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(&Headers(headers))));
}

/// Writes the current span's context into `headers`.
pub fn to_headers(headers: &mut HeaderMap) {
    let context = Span::current().context();
    opentelemetry::global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut HeadersMut(headers)));
}

/// The current span's `traceparent`, to be kept in an outbox row or a workflow's input.
#[must_use]
pub fn current_traceparent() -> Option<String> {
    let mut carrier = HashMap::new();
    let context = Span::current().context();
    opentelemetry::global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut carrier));
    carrier.remove("traceparent")
}

/// Makes `span` a child of the trace named by a `traceparent` kept earlier. Anything else is ignored.
pub fn continue_trace(span: &Span, traceparent: Option<&str>) {
    if let Some(traceparent) = traceparent {
        let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
        adopt(span, opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(&carrier)));
    }
}
