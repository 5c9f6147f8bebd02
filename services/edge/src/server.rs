//! Wiring: probes, routes, health.

use axum::{
    Json, Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use ids::Region;
use rpc::{Process, Readiness, process::Fatal};
use serde_json::{Value, json};

use crate::{
    config::Config,
    metrics,
    proxy::{Proxy, forward},
    regions::{Health, Prober, Regions},
};

/// Runs the service until shutdown.
pub(crate) async fn run(config: Config, process: Process) -> Result<(), Fatal> {
    metrics::describe();
    let regions = Regions::new(&config);
    for region in Region::ALL {
        process.spawn("probe", Prober::new(&regions, region, &config).run(process.shutdown.clone()));
    }
    let proxy = Proxy::new(&config, regions.clone(), process.shutdown.clone());
    process.serve(router(proxy), None, readiness(regions)).await
}

fn router(proxy: Proxy) -> Router {
    Router::new().route("/edge/regions", get(regions).fallback(forward)).fallback(forward).with_state(proxy)
}

fn readiness(regions: Regions) -> Readiness {
    Readiness::default().needs("a healthy region", move || {
        let is_any_healthy = regions.is_any_healthy();
        async move { if is_any_healthy { Ok(()) } else { Err("neither eu nor us is healthy".to_owned()) } }
    })
}

/// `GET /edge/regions`, for operators.
async fn regions(State(Proxy { regions, .. }): State<Proxy>) -> Response {
    let rows = Region::ALL.map(|region| {
        let health = regions.health(region);
        json!({
            "region": region.as_str(),
            "healthy": health == Health::Healthy,
            "state": health.as_str(),
            "address": regions.address(region).to_string(),
        })
    });
    ([(header::CACHE_CONTROL, "no-store")], Json::<Value>(json!({ "regions": rows }))).into_response()
}
