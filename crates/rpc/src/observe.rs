//! A span and metrics for every request that a service answers.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use tracing::Instrument as _;

/// gRPC paths are a closed set, so they can be metric labels; other paths are labelled by their route.
fn route_of(request: &Request) -> String {
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    match matched {
        Some(path) if !path.contains("{*") => path.to_owned(),
        _ if is_grpc(request) => request.uri().path().to_owned(),
        matched => matched.unwrap_or("other").to_owned(),
    }
}

fn is_grpc(request: &Request) -> bool {
    request.headers().get(http::header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// The gRPC code in the headers of a response without a body, else the HTTP status.
fn outcome_of(response: &Response) -> String {
    let code = response.headers().get("grpc-status").and_then(|value| value.to_str().ok());
    code.map_or_else(|| response.status().as_u16().to_string(), |code| format!("grpc-{code}"))
}

pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let route = route_of(&request);
    let span = tracing::info_span!("request", otel.name = %route, otel.kind = "server", http.response.status_code = tracing::field::Empty);
    telemetry::from_headers(&span, request.headers());
    let begun = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let outcome = outcome_of(&response);
    span.record("http.response.status_code", response.status().as_u16());
    metrics::histogram!("market_request_seconds", "route" => route, "outcome" => outcome).record(begun.elapsed().as_secs_f64());
    response
}
