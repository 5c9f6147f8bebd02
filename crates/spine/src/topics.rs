//! The topics of the system.

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    types::RDKafkaErrorCode,
};

use crate::{Error, client};

/// What the order service says, keyed by order id.
pub const ORDER_EVENTS: &str = "order.events";
/// What the payment service says, keyed by order id.
pub const PAYMENT_EVENTS: &str = "payment.events";
/// Reservations, keyed by order id.
pub const INVENTORY_EVENTS: &str = "inventory.events";
/// Items of the catalog, keyed by SKU; compacted, so it always holds the whole catalog.
pub const INVENTORY_ITEM: &str = "inventory.item";
/// What the regions say to each other of the right to sell, keyed by SKU, and of orders that ended, keyed by order id.
pub const INVENTORY_RIGHTS: &str = "inventory.rights";
/// What the cart service says, keyed by cart id.
pub const CART_EVENTS: &str = "cart.events";

/// All topics that services write to; each has a dead-letter topic beside it.
pub const ALL: [&str; 6] = [ORDER_EVENTS, PAYMENT_EVENTS, INVENTORY_EVENTS, INVENTORY_ITEM, INVENTORY_RIGHTS, CART_EVENTS];

const PARTITIONS: i32 = 6;

/// The topic that takes what `topic`'s consumers cannot read.
#[must_use]
pub fn dead_letters_of(topic: &str) -> String {
    format!("{topic}.dlq")
}

/// Creates every topic that is missing, with `replication` copies.
///
/// # Errors
/// When Kafka is away or refuses.
pub async fn ensure(bootstrap: &str, replication: i32) -> Result<(), Error> {
    ensure_these(bootstrap, &ALL, replication).await
}

/// Creates those of `names` that are missing, and their dead letters, with `replication` copies.
///
/// # Errors
/// When Kafka is away or refuses.
pub async fn ensure_these(bootstrap: &str, names: &[&str], replication: i32) -> Result<(), Error> {
    let admin: AdminClient<DefaultClientContext> = client::admin(bootstrap).create()?;
    let dead_letters: Vec<String> = names.iter().map(|topic| dead_letters_of(topic)).collect();
    let min_insync = if replication >= 3 { "2" } else { "1" };
    let topics: Vec<NewTopic<'_>> = names
        .iter()
        .map(|&name| {
            let cleanup = if name == INVENTORY_ITEM { "compact" } else { "delete" };
            (name, PARTITIONS, cleanup)
        })
        .chain(dead_letters.iter().map(|name| (name.as_str(), 1, "delete")))
        .map(|(name, partitions, cleanup)| {
            NewTopic::new(name, partitions, TopicReplication::Fixed(replication))
                .set("cleanup.policy", cleanup)
                .set("min.insync.replicas", min_insync)
        })
        .collect();
    for result in admin.create_topics(&topics, &AdminOptions::new().operation_timeout(Some(std::time::Duration::from_secs(15)))).await? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(Error::Topic { topic, code }),
        }
    }
    Ok(())
}
