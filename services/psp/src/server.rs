//! Wiring: store, effects, routes, health.

use axum::{
    Router,
    http::{HeaderValue, header},
    middleware::{from_fn_with_state, map_response},
    response::{IntoResponse as _, Response},
};
use rpc::{Process, Readiness, process::Fatal};
use tokio::task::{block_in_place, spawn_blocking};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    admin, api,
    behavior::Behavior,
    conduct::{self, Conduct},
    config::Config,
    effects,
    error::Error,
    metrics, page,
    store::{self, Store},
    webhook::Courier,
};

/// Nothing but the page's own style.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Runs the service until shutdown.
pub(crate) async fn run(config: Config, process: Process) -> Result<(), Fatal> {
    metrics::describe();
    let step_up_delay_ms = u32::try_from(config.step_up_delay.as_millis()).unwrap_or(u32::MAX);
    let initial = Behavior { step_up_delay_ms, ..Behavior::default() };
    let (store, writer, effects) = block_in_place(|| store::open(&config.data_dir, initial))?;
    tracing::info!(folder = %config.data_dir.display(), effects = effects.len(), "store opened");
    process.spawn("store writer", async { Ok(spawn_blocking(|| writer.run()).await??) });

    let courier = Courier::new(store.clone(), config.webhook_secret)?;
    process.spawn("effects", effects::run(effects, store.clone(), courier, process.shutdown.clone()));

    let pinged = store.clone();
    let readiness = Readiness::default().needs("store", move || {
        let store = pinged.clone();
        async move { store.ping().await }
    });
    let conduct = Conduct::new(store.clone(), process.shutdown.clone());
    process.serve(router(store, conduct), None, readiness).await
}

fn router(store: Store, conduct: Conduct) -> Router {
    Router::new()
        .merge(api::router().layer(from_fn_with_state(conduct, conduct::meet)))
        .merge(admin::router())
        .merge(page::router())
        .method_not_allowed_fallback(async || Error::Method)
        .fallback(async || Error::UnknownPath)
        .with_state(store)
        .layer(CatchPanicLayer::custom(|_| Error::Fault.into_response()))
        .layer(map_response(protect))
}

/// Gives every answer the headers of a careful site. Charges change, so nothing is kept.
async fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
