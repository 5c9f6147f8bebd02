//! The API: what the links are like, and setting it.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    routing::{get, patch},
};
use link::{Change, Flow, Link, Links, Site, Traffic, Way};
use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex, task::spawn_blocking};

use crate::{error::Error, store::Store};

/// Most bytes of a body.
const MAX_BODY: usize = 4 * 1024;

/// What the API works on.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) links: Links,
    pub(crate) carried: Arc<[(Link, Arc<Traffic>)]>,
    pub(crate) store: Store,
    /// Held while something is set and written down: the file has what was set last.
    pub(crate) setting: Arc<Mutex<()>>,
}

pub(crate) fn router(world: World) -> Router {
    Router::new()
        .route("/links", get(show))
        .route("/shapes", patch(change).delete(reset))
        .method_not_allowed_fallback(async || Error::Method)
        .fallback(async || Error::UnknownPath)
        .with_state(world)
}

/// What `PATCH /shapes` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    from: Site,
    to: Site,
    /// Leave the way back as it is.
    #[serde(default)]
    one_way: bool,
    /// This protocol alone.
    protocol: Option<String>,
    change: Change,
}

/// What every request is answered with.
#[derive(Debug, Serialize)]
struct Answer {
    /// Each protocol in each direction.
    flows: Vec<Carried>,
    /// Each listener.
    links: Vec<Listener>,
}

#[derive(Debug, Serialize)]
struct Carried {
    #[serde(flatten)]
    flow: Flow,
    /// Bytes that came out since the process was started.
    bytes: u64,
    /// Bytes under way.
    held_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Listener {
    from: Site,
    to: Site,
    protocol: String,
    listen: String,
    target: String,
    connections: u64,
    opened: u64,
    refused: u64,
}

async fn show(State(world): State<World>) -> Json<Answer> {
    Json(world.answer())
}

async fn change(State(world): State<World>, body: Body) -> Result<Json<Answer>, Error> {
    let body = rpc::read_body(body, MAX_BODY).await.map_err(|error| Error::Invalid(error.to_string()))?;
    let wish: Wish = serde_json::from_slice(&body).map_err(|error| Error::Invalid(format!("the body cannot be used: {error}")))?;
    wish.change.check().map_err(|error| Error::Invalid(error.to_string()))?;
    let way = Way { from: wish.from, to: wish.to };
    let ways = if wish.one_way { vec![way] } else { vec![way, way.back()] };
    let setting = world.setting.clone().lock_owned().await;
    let kept = world.links.set(&ways, wish.protocol.as_deref(), &wish.change)?;
    tracing::info!(from = %wish.from, to = %wish.to, one_way = wish.one_way, protocol = wish.protocol, change = ?wish.change, "links are changed");
    world.keep(setting, kept).await?;
    Ok(Json(world.answer()))
}

async fn reset(State(world): State<World>) -> Result<Json<Answer>, Error> {
    let setting = world.setting.clone().lock_owned().await;
    world.links.reset();
    tracing::info!("links are as they normally are");
    world.keep(setting, Vec::new()).await?;
    Ok(Json(world.answer()))
}

impl World {
    /// Goes on to its end also when the caller has gone.
    async fn keep(&self, setting: tokio::sync::OwnedMutexGuard<()>, kept: Vec<link::Kept>) -> Result<(), Error> {
        let store = self.store.clone();
        let written = spawn_blocking(move || {
            let _setting = setting;
            store.keep(&kept)
        });
        written.await.unwrap_or_else(|panic| Err(panic.into())).map_err(Error::NotKept)
    }

    fn answer(&self) -> Answer {
        let flows = self.links.flows().into_iter().map(|flow| {
            let (mut bytes, mut held_bytes) = (0, 0);
            for (link, traffic) in self.carried.iter().filter(|(link, _)| link.protocol == flow.protocol) {
                let (out, held) = match (link.from, link.to) {
                    (from, to) if flow.way == (Way { from, to }) => (&traffic.there, &traffic.held_there),
                    (from, to) if flow.way == (Way { from: to, to: from }) => (&traffic.back, &traffic.held_back),
                    _ => continue,
                };
                bytes += out.load(Ordering::Relaxed);
                held_bytes += held.load(Ordering::Relaxed);
            }
            Carried { flow, bytes, held_bytes }
        });
        let links = self.carried.iter().map(|(link, traffic)| Listener {
            from: link.from,
            to: link.to,
            protocol: link.protocol.clone(),
            listen: link.listen.to_string(),
            target: link.target.to_string(),
            connections: traffic.connections.load(Ordering::Relaxed),
            opened: traffic.opened.load(Ordering::Relaxed),
            refused: traffic.refused.load(Ordering::Relaxed),
        });
        Answer { flows: flows.collect(), links: links.collect() }
    }
}
