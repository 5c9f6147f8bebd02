//! What happens outside after a commit: shoppers approve, webhooks are sent, old authorizations end. What is cut off here begins again at
//! the next start.

use std::time::Duration;

use rpc::process::Fatal;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::Command,
    error::Error,
    store::{Effect, Effects, StepUp, Store, now_millis},
    webhook::Courier,
};

/// Before asking a busy store again.
pub(crate) const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// How often to look for authorizations that end.
const EXPIRY_TICK: Duration = Duration::from_millis(200);
/// Most authorizations that end in one commit.
const EXPIRED_AT_ONCE: usize = 200;

/// Does what `effects` ask for until `shutdown`.
pub(crate) async fn run(mut effects: Effects, store: Store, courier: Courier, shutdown: CancellationToken) -> Result<(), Fatal> {
    let mut running = JoinSet::new();
    let mut ticks = interval(EXPIRY_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            Some(effect) = effects.recv() => match effect {
                Effect::StepUp(step_up) => drop(running.spawn(approve(store.clone(), step_up))),
                Effect::Webhook(webhook) => drop(running.spawn(courier.clone().deliver(*webhook))),
            },
            Some(ended) = running.join_next() => ended?,
            _ = ticks.tick() => expire(&store).await,
        }
    }
}

/// Ends what has held its amount for too long; what a busy store does not take is tried again at the next tick.
async fn expire(store: &Store) {
    let ended = async {
        while store.has_expired().await? && store.expire(EXPIRED_AT_ONCE).await? > 0 {}
        Ok::<(), Error>(())
    };
    if let Err(error) = ended.await {
        tracing::warn!(%error, "authorizations could not be ended; tried again soon");
    }
}

/// The shopper takes a while, then approves.
async fn approve(store: Store, step_up: StepUp) {
    let wait = u64::try_from(step_up.due.saturating_sub(now_millis())).unwrap_or_default();
    sleep(Duration::from_millis(wait)).await;
    loop {
        match store.command(step_up.charge_id.clone(), Command::Approve).await {
            Err(Error::Busy) => sleep(BUSY_PAUSE).await,
            // Voided or expired in the meantime.
            Ok(_) | Err(Error::Refused(_)) => return,
            Err(error) => return tracing::warn!(charge.id = step_up.charge_id, %error, "step-up not approved"),
        }
    }
}
