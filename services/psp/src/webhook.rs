//! Webhooks: signed, sent until somebody takes them, for an hour at most. They may be set to come late, and to come again.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use config::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Client, StatusCode, header, redirect};
use sha2::Sha256;
use tokio::{sync::Semaphore, time::sleep};
use tracing::Instrument as _;
use url::Url;

use crate::{
    behavior::Down,
    effects::BUSY_PAUSE,
    error::Error,
    metrics::{self, Attempt},
    store::{Store, Webhook, now_millis},
};

/// The pause after the first attempt; each further one is twice as long ..
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// .. but no longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Age at which a webhook is given up, seconds.
const GIVE_UP_AFTER: i64 = 3600;
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most attempts at one receiver at once: one that hangs holds up nobody else.
const AT_ONCE: usize = 64;

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the receiver answered {0}")]
    Status(StatusCode),
    #[error("the receiver could not be asked")]
    Transport(#[from] reqwest::Error),
}

/// Brings webhooks. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Courier {
    client: Client,
    secret: Secret,
    store: Store,
    /// Room for attempts, by receiver.
    room: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

impl Courier {
    pub(crate) fn new(store: Store, secret: Secret) -> Result<Self, reqwest::Error> {
        let client = Client::builder().timeout(ATTEMPT_TIMEOUT).redirect(redirect::Policy::none()).no_proxy().build()?;
        Ok(Self { client, secret, store, room: Arc::default() })
    }

    /// Sends `webhook` until it is taken or too old, then forgets it.
    pub(crate) async fn deliver(self, webhook: Webhook) {
        let span = tracing::info_span!("psp.webhook.deliver", webhook.id = webhook.notice.id, charge.id = webhook.notice.charge.id);
        telemetry::continue_trace(&span, webhook.traceparent.as_deref());
        self.insist(&webhook).instrument(span).await;
    }

    async fn insist(&self, webhook: &Webhook) {
        let wait = u64::try_from(webhook.due.saturating_sub(now_millis())).unwrap_or_default();
        sleep(Duration::from_millis(wait)).await;
        let room = self.room_at(&webhook.url);
        let mut pause = FIRST_PAUSE;
        loop {
            // Boxed: most of the time most webhooks only wait.
            let attempt = async {
                self.is_up().await;
                let _permit = room.acquire().await;
                Box::pin(self.attempt(webhook)).await
            };
            match attempt.await {
                Ok(()) => {
                    metrics::count_webhook(Attempt::Delivered);
                    self.repeat(webhook, &room).await;
                    return self.settle(webhook).await;
                }
                Err(error) if now_millis() / 1000 - webhook.notice.created >= GIVE_UP_AFTER => {
                    tracing::warn!(%error, "webhook given up");
                    metrics::count_webhook(Attempt::GivenUp);
                    return self.settle(webhook).await;
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    if pause == FIRST_PAUSE {
                        tracing::info!(%error, cause, "webhook will be sent again");
                    }
                    metrics::count_webhook(Attempt::Failed);
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Sends again what was taken, as often as it was drawn; how that ends does not matter.
    async fn repeat(&self, webhook: &Webhook, room: &Semaphore) {
        for _ in 0..webhook.copies {
            sleep(FIRST_PAUSE).await;
            let _permit = room.acquire().await;
            let ended = Box::pin(self.attempt(webhook)).await;
            metrics::count_webhook(if ended.is_ok() { Attempt::Repeated } else { Attempt::Failed });
        }
    }

    /// A provider that is down says nothing either.
    async fn is_up(&self) {
        let mut behavior = self.store.watch();
        // Fails when the writer has ended, and the process with it.
        let _ = behavior.wait_for(|behavior| behavior.down == Down::No).await;
    }

    fn room_at(&self, url: &str) -> Arc<Semaphore> {
        let receiver = Url::parse(url).map_or_else(|_| String::new(), |url| url.authority().to_owned());
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        room.entry(receiver).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))).clone()
    }

    async fn attempt(&self, webhook: &Webhook) -> Result<(), Failure> {
        let body = serde_json::to_string(&webhook.notice).expect("a notice is plain text");
        let mut headers = header::HeaderMap::new();
        telemetry::to_headers(&mut headers);
        let signature = signature(&self.secret, now_millis() / 1000, &body);
        let request = self.client.post(&webhook.url).headers(headers).header("psp-signature", signature);
        let response = request.header(header::CONTENT_TYPE, "application/json").body(body).send().await?;
        if response.status().is_success() { Ok(()) } else { Err(Failure::Status(response.status())) }
    }

    async fn settle(&self, webhook: &Webhook) {
        while let Err(error) = self.store.settle(webhook.notice.id.clone()).await {
            if !matches!(error, Error::Busy) {
                return tracing::warn!(%error, "webhook not noted as settled, so it will be sent again");
            }
            sleep(BUSY_PAUSE).await;
        }
    }
}

/// The header by which a receiver knows that `body` is ours and that it is not an old one sent again; `at` is in unix seconds.
fn signature(secret: &Secret, at: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{at}.{body}").as_bytes());
    mac.finalize().into_bytes().iter().fold(format!("t={at},v1="), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_what_openssl_makes_of_time_and_body() {
        // printf '%s' '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let made = signature(&Secret::new("0123456789abcdef".to_owned()), 1_700_000_000, r#"{"id":"evt_1"}"#);
        assert_eq!(made, "t=1700000000,v1=9483985a1de97b8e9342f2306f8e68512fdf9176cc65f2595ea38e056d78bfdd");
    }
}
