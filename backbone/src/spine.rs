//! `backbone spine`: looks at the Kafka spine, and mends what its consumers could not apply.

mod args;
mod dlq;
mod lag;
mod payload;
mod replay;
mod tail;
mod topics;

use anyhow::{Context as _, Result};
use ids::Region;

pub use self::args::Action;
use crate::{exit::Exit, home::Home, sources::Sources};

/// Topics' own consumers: who keeps its offsets where. A consumer with a schema commits them there with its effects; the others tell Kafka.
const CONSUMERS: [Consumer; 4] = [
    Consumer { group: "order", schema: Some("order"), topic: ::spine::topics::PAYMENT_EVENTS },
    Consumer { group: "inventory", schema: Some("inventory"), topic: ::spine::topics::ORDER_EVENTS },
    Consumer { group: "cart", schema: Some("cart"), topic: ::spine::topics::ORDER_EVENTS },
    Consumer { group: "order-status", schema: None, topic: ::spine::topics::ORDER_EVENTS },
];

#[derive(Debug, Clone, Copy)]
struct Consumer {
    group: &'static str,
    schema: Option<&'static str>,
    topic: &'static str,
}

impl Consumer {
    fn named(group: &str) -> Result<Self> {
        let names = || CONSUMERS.map(|consumer| consumer.group).join(", ");
        CONSUMERS
            .into_iter()
            .find(|consumer| consumer.group == group)
            .with_context(|| format!("no consumer is named '{group}': {}", names()))
    }
}

/// Does what the command line says.
///
/// # Errors
/// When something cannot be reached, or is not there.
pub async fn run(home: &Home, action: Action, json: bool) -> Result<Exit> {
    let sources = Sources::of(home)?;
    match action {
        Action::Topics { region } => topics::print(&sources, &regions(region), json).await?,
        Action::Lag { region } => lag::print(&sources, &regions(region), json).await?,
        Action::Tail(options) => tail::print(&sources, &options, json).await?,
        Action::Dlq(action) => dlq::run(&sources, action, json).await?,
        Action::Replay(options) => replay::run(&sources, &options, json).await?,
    }
    Ok(Exit::Ok)
}

fn regions(region: Option<Region>) -> Vec<Region> {
    region.map_or_else(|| Region::ALL.to_vec(), |region| vec![region])
}
