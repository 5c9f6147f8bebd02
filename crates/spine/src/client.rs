//! How every Kafka client of ours is set up: the one place that builds a `ClientConfig`.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};

use crate::Pace;

#[expect(clippy::disallowed_methods, reason = "the one place that builds a ClientConfig")]
fn base(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("client.id", "market")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.keepalive.enable", "true")
        .set("broker.address.family", "v4");
    config
}

/// A producer that neither loses, repeats nor reorders within a partition.
pub(crate) fn producer(bootstrap: &str) -> ClientConfig {
    let mut config = base(bootstrap);
    config.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "1");
    // A broker takes any sequence number as the first of a producer that it does not know. With several requests under way the first could fail
    // while a partition gets its leader, the second be taken, and the first, tried again, be answered as known: it was lost, and nobody knew.
    config.set("max.in.flight.requests.per.connection", "1");
    // A message never times out in the client: one that did would let those behind it overtake it.
    config.set("message.timeout.ms", "0");
    config
}

/// A member of `group` that commits only what was handled. A member that comes back under its name within the session time finds its
/// partitions as it left them; others keep working while partitions move.
pub(crate) fn consumer(bootstrap: &str, group: &str, member: &str, pace: Pace) -> ClientConfig {
    let mut config = base(bootstrap);
    config
        .set("group.id", group)
        .set("group.instance.id", member)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "1500")
        .set("queued.max.messages.kbytes", "4096")
        .set("topic.metadata.refresh.interval.ms", "30000");
    match pace {
        // A message ends the wait at once; only a partition that is new or resumed waits for the request that is under way.
        Pace::Prompt => config.set("fetch.wait.max.ms", "500"),
        Pace::Gathering => config.set("fetch.wait.max.ms", "250").set("fetch.min.bytes", "65536"),
    };
    config
}

/// A reader outside any group.
pub(crate) fn reader(bootstrap: &str) -> ClientConfig {
    let mut config = base(bootstrap);
    config
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "250")
        .set("queued.max.messages.kbytes", "4096");
    config
}

/// A client for administration.
pub(crate) fn admin(bootstrap: &str) -> ClientConfig {
    base(bootstrap)
}

/// A readiness check: the broker answers a metadata request.
///
/// # Errors
/// The client's own words.
pub async fn ping(bootstrap: String) -> Result<(), String> {
    let probe = move || {
        let client: BaseConsumer = base(&bootstrap).create().map_err(|error| error.to_string())?;
        client.fetch_metadata(Some("order.events"), Duration::from_millis(1500)).map(drop).map_err(|error| error.to_string())
    };
    tokio::task::spawn_blocking(probe).await.map_err(|error| error.to_string())?
}
