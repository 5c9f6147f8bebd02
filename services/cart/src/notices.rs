//! Tells open pages that their cart has changed: NATS subject `cart.changed.<session>`, with the new version.
//!
//! Nothing waits for it and it may be lost: whoever listens reads the cart itself now and then.

use std::time::Duration;

use rpc::Process;
use serde_json::json;
use tokio::sync::mpsc;

use crate::store::Stand;

/// Most notices that wait for NATS; the next ones are lost.
const WAITING: usize = 1024;
const PATIENCE: Duration = Duration::from_millis(200);

/// Where notices go. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Notices(mpsc::Sender<Stand>);

impl Notices {
    /// Publishes beside the service.
    pub(crate) fn start(process: &Process, nats: async_nats::Client) -> Self {
        let (notices, mut waiting) = mpsc::channel(WAITING);
        let shutdown = process.shutdown.clone();
        process.spawn("notices", async move {
            while let Some(Some(stand)) = shutdown.run_until_cancelled(waiting.recv()).await {
                publish(&nats, &stand).await;
            }
            Ok(())
        });
        Self(notices)
    }

    /// Tells where a cart stands, once that is committed.
    pub(crate) fn tell(&self, stand: Stand) {
        let _ = self.0.try_send(stand);
    }
}

async fn publish(nats: &async_nats::Client, Stand { id, version }: &Stand) {
    let message = json!({ "version": version }).to_string();
    // While NATS is away its client takes messages only until its queue is full.
    let told = tokio::time::timeout(PATIENCE, nats.publish(format!("cart.changed.{}", id.token()), message.into())).await;
    if !matches!(told, Ok(Ok(()))) {
        tracing::debug!(cart.id = %id, "change not told");
    }
}
