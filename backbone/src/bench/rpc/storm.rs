//! Calls to a service that is dead: how many tries they make of it.

use std::{fmt, time::Duration};

use anyhow::Result;
use tonic::Status;

use super::echo::{Server, ask, client, open_loop};

pub(super) const CONDITION: &str = "retry storm: 500 calls a second for 4 s to a service that refuses all; up to 4 tries each; the breaker is off, so that the \
     budget alone holds them";

const RATE: u32 = 500;
const LENGTH: Duration = Duration::from_secs(4);
const BUDGET: &str = r#"{ "maxTokens": 20, "tokenRatio": 0.1 }"#;
/// A success would give back more than all that a failure takes.
const NONE: &str = r#"{ "maxTokens": 1000, "tokenRatio": 1000 }"#;

/// Tries for each call.
pub(super) struct Storm {
    pub(super) held: f64,
    pub(super) unheld: f64,
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} tries for each call to a dead service, {:.2} without a budget", self.held, self.unheld)
    }
}

pub(super) async fn run() -> Result<Storm> {
    Ok(Storm { held: tries(BUDGET, u32::MAX).await?, unheld: tries(NONE, 50).await? })
}

/// `every`: so many calls share a client, and with it a budget. A bucket of gRPC's is never so large that it would not hold a storm after a while.
async fn tries(budget: &str, every: u32) -> Result<f64> {
    let dead = Server::ours(|| async { Err(Status::unavailable("dead")) }).await?;
    let retry = r#""retryPolicy": { "maxAttempts": 4, "initialBackoff": "0.01s", "maxBackoff": "0.1s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"] }"#;
    let config = format!(
        r#"{{ "methodConfig": [{{ "name": [{{}}], {retry} }}], "retryThrottling": {budget}, "backbone": {{ "breaker": {{ "share": 1, "least": 1000000 }} }} }}"#
    );
    let mut shared = client(&[&dead], &config)?;
    let calls = open_loop(RATE, LENGTH, |number| {
        if number % every == 0
            && let Ok(new) = client(&[&dead], &config)
        {
            shared = new;
        }
        ask(shared.clone(), String::new())
    });
    let calls = calls.await.len();
    #[expect(clippy::cast_precision_loss, reason = "a number of calls")]
    Ok(f64::from(dead.calls()) / calls as f64)
}
