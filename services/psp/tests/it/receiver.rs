//! A merchant that hears webhooks.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use axum::{Router, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use serde_json::Value;
use testkit::eventually;

use super::SOON;

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) signature: String,
    pub(crate) body: String,
    /// True when it was answered with 200.
    pub(crate) is_taken: bool,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a webhook is JSON")
    }
}

/// Answers 500 until it is told to take what comes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Receiver {
    heard: Arc<Mutex<Vec<Heard>>>,
    is_taking: Arc<AtomicBool>,
    port: u16,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let this = Self { port: listener.local_addr().expect("an address").port(), ..Self::default() };
        let router = Router::new().route("/hook", post(hear)).with_state(this.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        this
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// Takes what comes from now on.
    pub(crate) fn take(&self) {
        self.is_taking.store(true, Ordering::Relaxed);
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("no holder panics").clone()
    }

    /// Waits until `count` requests came.
    pub(crate) async fn has_heard(&self, count: usize) -> Vec<Heard> {
        eventually("webhooks come", SOON, async || {
            let heard = self.heard();
            if heard.len() >= count { Ok(heard) } else { Err(format!("{heard:?}")) }
        })
        .await
    }

    /// Waits until one was taken.
    pub(crate) async fn has_taken(&self) -> Heard {
        eventually("a webhook is taken", SOON, async || {
            let heard = self.heard();
            heard.iter().find(|heard| heard.is_taken).cloned().ok_or_else(|| format!("{heard:?}"))
        })
        .await
    }
}

async fn hear(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let is_taken = receiver.is_taking.load(Ordering::Relaxed);
    let signature = headers["psp-signature"].to_str().expect("a signature is text").to_owned();
    assert_eq!(headers["content-type"], "application/json");
    receiver.heard.lock().expect("no holder panics").push(Heard { signature, body, is_taken });
    if is_taken { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR }
}
