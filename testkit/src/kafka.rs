//! A real Kafka broker with the system's topics: one for each test process, or one for a test alone.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
    util::Timeout,
};
use spine::{Delivery, Tail};
use store::outbox::Event;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::{eventually, free_port, keeper, parts};

static SHARED: OnceCell<Kafka> = OnceCell::const_new();

/// The broker of this test process, started when first asked for: for tests that can do with a [topic](Kafka::topic) of their own.
///
/// # Panics
/// When it cannot be started.
pub async fn kafka() -> &'static Kafka {
    SHARED.get_or_init(Kafka::start).await
}

/// A broker: 4 s to start, 200 MB. One of its own keeps the consumer groups of a test's services apart from all others. Ends when dropped.
#[derive(Debug)]
pub struct Kafka {
    port: u16,
    log: PathBuf,
    /// Absent when somebody else started it.
    process: Option<Child>,
    topics: AtomicU32,
}

impl Kafka {
    /// Starts a broker and makes the topics.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start() -> Self {
        let port = free_port();
        let home = keeper::folder().join(format!("kafka-{port}"));
        fs::create_dir(&home).expect("the temporary folder can be written");
        let (config, log) = (home.join("server.properties"), home.join("log"));
        fs::write(&config, properties(port, free_port(), &home.join("data"))).expect("the temporary folder can be written");

        let mut format = java();
        format.args(["kafka.tools.StorageTool", "format", "-t", &cluster_id(), "-c"]).arg(&config);
        let status = tokio::task::spawn_blocking({
            let log = log.clone();
            move || keeper::spawn(format, &log).wait()
        });
        let status = status.await.expect("waiting does not panic").expect("java can be waited for");
        assert!(status.success(), "Kafka's storage could not be formatted:\n{}", keeper::tail(&log));

        let mut server = java();
        server.arg("kafka.Kafka").arg(&config);
        let mut process = keeper::spawn(server, &log);
        let mut this = Self::at(port);
        this.log = log;
        let address = this.address();
        eventually("kafka takes topics", Duration::from_secs(60), async || {
            let ended = process.try_wait();
            assert!(matches!(ended, Ok(None)), "kafka ended ({ended:?}):\n{}", keeper::tail(&this.log));
            tokio::net::TcpStream::connect(&address).await.map_err(|error| error.to_string())?;
            spine::topics::ensure(&address, 1).await.map_err(|error| format!("{error:?}"))?;
            // A topic is there a moment before its partitions have their leader.
            for topic in spine::topics::ALL {
                Tail::open(address.clone(), topic, BTreeMap::new()).await.map_err(|error| format!("{error:?}"))?;
            }
            Ok::<_, String>(())
        })
        .await;
        this.process = Some(process);
        this
    }

    /// A broker that somebody else started on this port of the loopback.
    #[must_use]
    pub fn at(port: u16) -> Self {
        Self { port, log: PathBuf::new(), process: None, topics: AtomicU32::new(0) }
    }

    /// A new topic and its dead letters, laid out as the system's are.
    ///
    /// # Panics
    /// When the broker does not make it.
    pub async fn topic(&self) -> &'static str {
        let name: &'static str = format!("test-{}.events", self.topics.fetch_add(1, Ordering::Relaxed)).leak();
        spine::topics::ensure_these(&self.address(), &[name], 1).await.unwrap_or_else(|error| panic!("make {name}: {error:?}"));
        eventually(name, Duration::from_secs(20), async || Tail::open(self.address(), name, BTreeMap::new()).await.map(drop)).await;
        name
    }

    /// Publishes `event` with its `CloudEvents` headers, as any client would. Called twice it is what a relay does that was killed before
    /// it could note the first time.
    ///
    /// # Panics
    /// When the broker does not take it.
    pub async fn publish(&self, event: &Event) {
        send(&self.producer(), event).await;
    }

    /// Publishes everything that `topic` holds once more: each key's events in their order, the last key first.
    ///
    /// # Panics
    /// When the broker does not give or take it.
    pub async fn repeat_by_key_backwards(&self, topic: &'static str) {
        let mut by_key: BTreeMap<String, Vec<Delivery>> = BTreeMap::new();
        for delivery in self.everything_in(topic).await {
            by_key.entry(delivery.key.clone()).or_default().push(delivery);
        }
        let producer = self.producer();
        for Delivery { event_id: id, key, kind, payload, .. } in by_key.into_values().rev().flatten() {
            send(&producer, &Event { id, topic, key, kind: kind.leak(), payload: payload.to_vec() }).await;
        }
    }

    /// Publishes what is none of ours: no headers at all.
    ///
    /// # Panics
    /// When the broker does not take it.
    pub async fn publish_raw(&self, topic: &str, key: &str, payload: &[u8]) {
        let producer = self.producer();
        let sent = producer.send(FutureRecord::to(topic).key(key).payload(payload), Timeout::After(Duration::from_secs(10))).await;
        sent.unwrap_or_else(|(error, _)| panic!("publish to {topic}: {error}"));
    }

    #[expect(clippy::disallowed_methods, reason = "a stranger to crates/spine, so that its consumers do not only understand its own relay")]
    fn producer(&self) -> FutureProducer {
        let mut config = ClientConfig::new();
        let config = config.set("bootstrap.servers", self.address()).set("message.timeout.ms", "20000").set("linger.ms", "0");
        config.create().expect("a producer")
    }

    /// Everything that `topic` holds now.
    ///
    /// # Panics
    /// When the broker does not give it.
    pub async fn everything_in(&self, topic: &'static str) -> Vec<Delivery> {
        let mut tail = Tail::open(self.address(), topic, BTreeMap::new()).await.unwrap_or_else(|error| panic!("read {topic}: {error:?}"));
        let mut read = Vec::new();
        while !tail.is_caught_up() {
            let next = tokio::time::timeout(Duration::from_secs(10), tail.next()).await.expect("kafka gives what it has");
            read.extend(next.unwrap_or_else(|error| panic!("read {topic}: {error:?}")));
        }
        read
    }

    /// For `KAFKA_BOOTSTRAP_SERVERS`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

async fn send(producer: &FutureProducer, event: &Event) {
    let id = event.id.to_string();
    let attributes = [("ce_specversion", "1.0"), ("ce_id", id.as_str()), ("ce_source", "/market/eu/test"), ("ce_type", event.kind)];
    let headers =
        attributes.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
    let record = FutureRecord::to(event.topic).key(&event.key).payload(&event.payload).headers(headers);
    let sent = producer.send(record, Timeout::After(Duration::from_secs(10))).await;
    sent.unwrap_or_else(|(error, _)| panic!("publish to {}: {error}", event.topic));
}

fn java() -> Command {
    let mut command = keeper::program(Path::new("java"), false);
    command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]);
    command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp"]).arg(parts::folder("kafka").join("*"));
    command
}

/// A Kafka UUID: 16 bytes in base64 without padding, so the last of 22 characters carries two bits only.
fn cluster_id() -> String {
    format!("{}A", &Uuid::now_v7().simple().to_string()[11..])
}

fn properties(port: u16, controller: u16, data: &Path) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=16777216
",
        data.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_broker_has_the_topics() {
        let kafka = Kafka::start().await;
        let event = Event { id: Uuid::now_v7(), topic: "order.events", key: "k".into(), kind: "order.test", payload: vec![7] };
        kafka.publish(&event).await;
        kafka.publish(&event).await;
        let read = kafka.everything_in("order.events").await;
        assert_eq!(read.iter().map(|delivery| delivery.event_id).collect::<Vec<_>>(), [event.id, event.id]);
    }

    #[test]
    fn cluster_ids_have_the_form_that_kafka_reads() {
        assert_eq!(cluster_id().len(), 22);
    }
}
