//! Apache Kafka: each node is broker and controller.
//!
//! Started as the main class `kafka.Kafka` from its jars. Serial GC and C1 only: measured at 170 MB and 2.1 s to its first answer,
//! against 205 MB with the JVM's own choice. A class data archive saves one second more, but is tied to the exact JVM.

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use super::Context;
use crate::{
    home::write_atomically,
    plan::{Part, Place},
    process::Launch,
};

/// Writes the configuration and, at the first start, formats the storage.
pub(super) async fn prepare(context: &Context, part: &Part, node: u16) -> Result<()> {
    let config = context.home.config(part);
    write_atomically(&config, 0o644, properties(context, part, node).as_bytes())?;
    let data = context.home.data(part);
    if data.join("meta.properties").exists() {
        return Ok(());
    }
    // A format that was cut short leaves a folder without its last file; nothing can have been stored in it.
    if data.exists() {
        std::fs::remove_dir_all(&data).with_context(|| format!("empty {}", data.display()))?;
    }
    let cluster = &context.settings.kafka_clusters[part.place.as_str()];
    let launch = java(context)
        .args(["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster, "-c"])
        .args([config.display().to_string()]);
    let output = Command::new(&launch.program).args(&launch.args).output().await.context("start java to format Kafka's storage")?;
    if !output.status.success() {
        bail!(
            "Kafka's storage could not be formatted: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

pub(super) fn launch(context: &Context, part: &Part) -> Launch {
    java(context).args(["kafka.Kafka".to_owned(), context.home.config(part).display().to_string()])
}

fn java(context: &Context) -> Launch {
    Launch::new(&context.java)
        .args(["-Xms64m", "-Xmx256m", "-XX:MaxDirectMemorySize=128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"])
        .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"])
        .args(["-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS"])
        .args(["-cp".to_owned(), format!("{}/*", context.installed.kafka().display())])
}

fn properties(context: &Context, part: &Part, node: u16) -> String {
    let Place::In(region) = part.place else { unreachable!("each broker is in a region") };
    let plan = &context.plan;
    let (clients, controller) = plan.ports.kafka(region, node);
    let (peer, link) = plan.ports.kafka_peer(region, node);
    let voters: Vec<_> = (1..=plan.brokers).map(|id| format!("{id}@127.0.0.1:{}", plan.ports.kafka(region, id).1)).collect();
    let (copies, in_sync) = if plan.brokers >= 3 { (3, 2) } else { (1, 1) };
    format!(
        "process.roles=broker,controller
node.id={node}
controller.quorum.voters={}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{clients},PEER://127.0.0.1:{peer},CONTROLLER://127.0.0.1:{controller}
# Clients of the other region come through the link, and are told its port.
advertised.listeners=PLAINTEXT://127.0.0.1:{clients},PEER://127.0.0.1:{link}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PEER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
broker.rack={region}
log.dirs={}
# Topics are made on purpose, never by a typing error.
auto.create.topics.enable=false
num.partitions=6
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=6
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
# After kill -9 the controller refuses a broker until its old session has run out: 9 s by default.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# Sized for a laptop: small segments and indexes, few threads, and a cleaner that does not take half of the heap.
log.segment.bytes=67108864
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=2
background.threads=2
",
        voters.join(","),
        context.home.data(part).display(),
    )
}
