//! A span and metrics for every request that a service answers.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use tracing::Instrument as _;

use crate::methods;

/// What a metric may be labelled with: the routes, and the methods of the contract. A path as such comes from outside and has no end.
fn route_of(request: &Request) -> String {
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    match matched {
        Some(path) if !path.contains("{*") => path.to_owned(),
        _ if methods::is_known(request.uri().path()) || HEALTH.contains(&request.uri().path()) => request.uri().path().to_owned(),
        matched => matched.unwrap_or("other").to_owned(),
    }
}

/// What every service has beside the contract.
const HEALTH: [&str; 2] = ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"];

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

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_strangers_path_is_no_label() {
        let route =
            |path: &str| route_of(&Request::builder().uri(path).header("content-type", "application/grpc").body(Body::empty()).unwrap());
        assert_eq!(route("/order.v1.OrderService/PlaceOrder"), "/order.v1.OrderService/PlaceOrder");
        assert_eq!(route("/grpc.health.v1.Health/Check"), "/grpc.health.v1.Health/Check");
        assert_eq!(route("/order.v1.OrderService/Guess42"), "other");
    }
}
