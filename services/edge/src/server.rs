//! Wiring: probes, leases, routes, health.

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
    leases::Asker,
    metrics,
    probe::Prober,
    proxy::{Proxy, forward},
    regions::Regions,
};

/// Runs the service until shutdown.
pub(crate) async fn run(config: Config, process: Process) -> Result<(), Fatal> {
    metrics::describe();
    let regions = Regions::new(&config);
    for region in Region::ALL {
        process.spawn("probe", Prober::new(&regions, region, &config).run(process.shutdown.clone()));
    }
    for service in [&config.region_eu, &config.region_us] {
        process.spawn("leases", Asker::new(&regions, service, &config).run(process.shutdown.clone()));
    }
    let proxy = Proxy::new(&config, regions.clone(), process.shutdown.clone());
    process.serve(router(proxy), None, readiness(regions)).await
}

fn router(proxy: Proxy) -> Router {
    Router::new().route("/edge/regions", get(regions).fallback(forward)).fallback(forward).with_state(proxy)
}

fn readiness(regions: Regions) -> Readiness {
    Readiness::default().needs("a healthy region", move || {
        let is_any_well = regions.is_any_well();
        async move { if is_any_well { Ok(()) } else { Err("neither eu nor us is healthy".to_owned()) } }
    })
}

/// `GET /edge/regions`, for operators.
async fn regions(State(Proxy { regions, .. }): State<Proxy>) -> Response {
    let sight = regions.sight();
    let rows = Region::ALL.map(|region| {
        let health = sight.health[region];
        json!({
            "region": region.as_str(),
            "healthy": health.is_well(),
            "state": health.as_str(),
            "address": regions.address(region).to_string(),
            "distance_ms": regions.distance(region).map(|distance| 1000.0 * distance.as_secs_f64()),
        })
    });
    let homes = Region::ALL.map(|home| {
        let claim = regions.claim(home);
        json!({
            "home": home.as_str(),
            "holder": claim.map(|claim| claim.holder.as_str()),
            "epoch": claim.map(|claim| claim.epoch),
        })
    });
    let all = json!({ "regions": rows, "homes": homes, "nearest": sight.nearest.as_str() });
    ([(header::CACHE_CONTROL, "no-store")], Json::<Value>(all)).into_response()
}
