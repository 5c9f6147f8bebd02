//! Lets requests meet the accidents that are set: waits, refusals, answers that never come. Admin addresses and the page never do.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    behavior::{Answer, Behavior, Down},
    error::Error,
    metrics::{self, Accident},
    store::Store,
};

/// Longer than anybody waits for an answer.
const NEVER: Duration = Duration::from_secs(120);
/// Most names whose attempts are remembered.
const NAMES: usize = 100_000;

/// What the layer needs. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Conduct {
    store: Store,
    shutdown: CancellationToken,
    /// How often each request was asked while accidents were set. Lost with the process: then a request is asked for the first time again.
    attempts: Arc<Mutex<HashMap<String, u32>>>,
}

impl Conduct {
    pub(crate) fn new(store: Store, shutdown: CancellationToken) -> Self {
        Self { store, shutdown, attempts: Arc::default() }
    }

    fn attempt(&self, name: &str) -> u32 {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if attempts.len() >= NAMES {
            attempts.clear();
        }
        let attempt = attempts.entry(name.to_owned()).or_default();
        *attempt += 1;
        *attempt - 1
    }

    /// Keeps the caller waiting until it leaves, or this process ends.
    async fn hang(&self) -> Response {
        tokio::select! { () = self.shutdown.cancelled() => {}, () = sleep(NEVER) => {} }
        Error::OutcomeUnknown.into_response()
    }

    async fn carry_out(&self, behavior: &Behavior, request: Request, next: Next) -> Response {
        let is_change = request.method() == Method::POST;
        let name = name(&request);
        let attempt = self.attempt(&name);
        sleep(behavior.latency(&name, attempt)).await;
        if !is_change {
            return next.run(request).await;
        }
        if behavior.is_lost(&name, attempt) {
            metrics::count_accident(Accident::Lost);
            return self.hang().await;
        }
        let response = next.run(request).await;
        match behavior.answer(&name, attempt) {
            Answer::Whole => response,
            Answer::Never => {
                metrics::count_accident(Accident::Unanswered);
                self.hang().await
            }
            Answer::Cut => {
                metrics::count_accident(Accident::Cut);
                cut(response)
            }
        }
    }
}

/// The layer.
pub(crate) async fn meet(State(conduct): State<Conduct>, request: Request, next: Next) -> Response {
    let behavior = conduct.store.behavior();
    match behavior.down {
        Down::No if !behavior.is_eventful() => next.run(request).await,
        Down::No => conduct.carry_out(&behavior, request, next).await,
        Down::Unavailable => {
            metrics::count_accident(Accident::Down);
            Error::Down.into_response()
        }
        Down::Hang => {
            metrics::count_accident(Accident::Down);
            conduct.hang().await
        }
    }
}

/// The same for each repeat of a request: its idempotency key with its path, since a merchant may use one for several steps.
fn name(request: &Request) -> String {
    let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
    let target = if key.is_empty() { request.uri().to_string() } else { step(request.uri().path()).to_owned() };
    format!("{} {target} {key}", request.method())
}

/// The last part of a path: `charges` or the command. Ids of charges are random, so they have no part in what is drawn.
fn step(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// An answer that breaks off: its head is sound, its body is not.
fn cut(response: Response) -> Response {
    let (parts, _) = response.into_parts();
    let broken = futures::stream::once(async { Err::<Vec<u8>, _>(io::Error::from(io::ErrorKind::ConnectionReset)) });
    Response::from_parts(parts, Body::from_stream(broken))
}
