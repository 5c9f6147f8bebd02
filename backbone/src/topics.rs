//! Kafka's topics, by the list that the services share.

use std::time::Duration;

use anyhow::Result;
use ids::Region;

use crate::{engine::Context, probe};

/// Makes the topics that are missing. Tries again for a while: a broker answers a little before it can make topics.
///
/// # Errors
/// When Kafka still refuses.
pub async fn ensure(context: &Context, region: Region) -> Result<()> {
    let plan = &context.plan;
    let bootstrap = plan.ports.bootstrap(region, plan.brokers);
    let copies = if plan.brokers >= 3 { 3 } else { 1 };
    probe::until(Duration::from_secs(45), Duration::from_millis(100), || async { Ok(spine::topics::ensure(&bootstrap, copies).await?) })
        .await
}
