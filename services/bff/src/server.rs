//! Wiring: connections, routes, health.

use std::{sync::Arc, time::Duration};

use async_nats::{ConnectOptions, connection::State};
use axum::{
    Router,
    extract::Request,
    middleware,
    response::{IntoResponse, Response},
};
use config::Secret;
use ids::Region;
use rpc::{Failure, Kind, Process, Readiness, process::Fatal};
use tokio::sync::OnceCell;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    api,
    backends::{Backends, ping},
    config::Config,
    documents,
    error::Error,
    grpc,
    live::Live,
    metrics, pages,
    pictures::{self, Pictures},
    priority, problem,
    shop::Shop,
};

/// What every handler has.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) region: Region,
    pub(crate) shop: Shop,
    pub(crate) live: Live,
    pub(crate) pictures: Arc<Pictures>,
    pub(crate) session_secret: Secret,
}

/// Runs the service until shutdown.
pub(crate) async fn run(config: Config, process: Process) -> Result<(), Fatal> {
    metrics::describe();
    let backends = Backends::new(&config);
    let shop = Shop::new(backends.clone());
    // NATS may come later, and may go: orders are then followed by reading them.
    let nats = ConnectOptions::new()
        .name("bff")
        .retry_on_initial_connect()
        .max_reconnects(None)
        .reconnect_delay_callback(|attempt| Duration::from_millis(50 * attempt.min(20) as u64))
        .connect(&config.nats_url)
        .await?;
    let live = Live::new(nats.clone(), shop.clone(), process.shutdown.clone());
    let (own, health) = grpc::own(shop.clone()).finish();
    let calls = grpc::router(own, &backends);
    let app =
        App { region: config.region, pictures: Arc::new(Pictures::new(shop.clone())), shop, live, session_secret: config.session_secret };
    process.serve(router(app, calls), Some(health), readiness(&backends, nats)).await
}

fn router(app: App, calls: Router) -> Router {
    let mine = Router::new()
        .merge(api::router())
        .merge(pages::router())
        .merge(pictures::router())
        .merge(documents::router())
        .method_not_allowed_fallback(|| async { Error::Method })
        .with_state(app);
    calls
        .merge(mine)
        .fallback(unknown)
        .layer(CatchPanicLayer::custom(|_| fault().into_response()))
        .layer(middleware::from_fn(problem::render))
        .layer(middleware::from_fn(priority::set))
}

fn fault() -> Error {
    Failure::new(Kind::Internal, "INTERNAL", "a fault of ours; the log says more").into()
}

async fn unknown(request: Request) -> Response {
    if grpc::is_call(&request) {
        return tonic::Status::unimplemented("the shop has no such method").into_http::<axum::body::Body>();
    }
    Error::UnknownPath.into_response()
}

/// Search and, once it has been there, NATS may be away: the shop does without them.
fn readiness(backends: &Backends, nats: async_nats::Client) -> Readiness {
    let Backends { cart, inventory, order, .. } = backends.clone();
    let was_connected = Arc::new(OnceCell::new());
    Readiness::default()
        .needs("cart", move || ping(cart.clone()))
        .needs("inventory", move || ping(inventory.clone()))
        .needs("order", move || ping(order.clone()))
        .needs("nats, at first", move || {
            let is_connected = was_connected.initialized() || nats.connection_state() == State::Connected;
            if is_connected {
                let _ = was_connected.set(());
            }
            async move { if is_connected { Ok(()) } else { Err("not connected yet".to_owned()) } }
        })
}
