//! The spine on a real PostgreSQL and a real Kafka.

mod consumer;
mod letters;
mod regions;
mod relay;

use std::time::Duration;

use config::Secret;
use ids::Region;
use spine::Outbox;
use sqlx::{PgConnection, PgPool, migrate::Migrator};
use store::outbox::Event;
use testkit::{Kafka, eventually};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A database with the shared tables, as a service has it, and a topic.
struct World {
    url: Secret,
    pool: PgPool,
    kafka: &'static Kafka,
    topic: &'static str,
}

impl World {
    async fn new() -> Self {
        Self::of(Region::Eu).await
    }

    async fn of(region: Region) -> Self {
        let (kafka, url) = tokio::join!(testkit::kafka(), async { testkit::postgres().await.database_in(region, "order").await });
        let none = Migrator { migrations: Vec::new().into(), ..Migrator::DEFAULT };
        store::migrate(&url, &none).await.expect("the shared tables can be made");
        let pool = store::connect(&url, 16).expect("the URL is fine");
        Self { url, pool, kafka, topic: kafka.topic().await }
    }

    /// A relay of this outbox. Dropping it is as sudden as a kill: nothing is told to anybody.
    fn relay(&self) -> Running {
        self.relay_to(self.kafka.address())
    }

    fn relay_to(&self, bootstrap: String) -> Running {
        Self::run(Outbox { bootstrap, ..self.outbox() })
    }

    /// A relay that tells only of what will stay.
    fn mirrored_relay(&self) -> Running {
        Self::run(Outbox { is_mirrored: true, ..self.outbox() })
    }

    fn outbox(&self) -> Outbox {
        Outbox {
            pool: self.pool.clone(),
            database_url: self.url.clone(),
            bootstrap: self.kafka.address(),
            source: "/market/eu/test".to_owned(),
            is_mirrored: false,
        }
    }

    fn run(outbox: Outbox) -> Running {
        Running(tokio::spawn(async { outbox.run(CancellationToken::new()).await.expect("the settings are fine") }))
    }

    fn event(&self, key: &str, number: u32) -> Event {
        let payload = number.to_be_bytes().to_vec();
        Event { id: Uuid::now_v7(), topic: self.topic, key: key.to_owned(), kind: "order.test", payload }
    }

    async fn append(&self, key: &str, number: u32) -> Uuid {
        let mut tx = self.pool.begin().await.expect("postgres answers");
        let id = self.append_in(&mut tx, key, number).await;
        tx.commit().await.expect("postgres commits");
        id
    }

    async fn append_in(&self, tx: &mut PgConnection, key: &str, number: u32) -> Uuid {
        let event = self.event(key, number);
        store::outbox::append_in(tx, &event, Some(Region::Eu)).await.expect("an event can be appended");
        event.id
    }

    /// What Kafka has, as soon as that many different events are there.
    async fn published(&self, count: usize) -> Vec<(String, u32, Uuid)> {
        eventually(&format!("{count} events are published"), Duration::from_secs(30), async || {
            let all = self.kafka.everything_in(self.topic).await;
            let mut ids: Vec<Uuid> = all.iter().map(|delivery| delivery.event_id).collect();
            ids.sort_unstable();
            ids.dedup();
            if ids.len() >= count {
                Ok(all.into_iter().map(|delivery| (delivery.key, number(&delivery.payload), delivery.event_id)).collect())
            } else {
                Err(format!("{} of {count}", ids.len()))
            }
        })
        .await
    }

    async fn one<T>(&self, sql: &'static str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

/// Work that ends when dropped.
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn number(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload.try_into().expect("four bytes"))
}

/// Numbers of one key, in the order of their first coming.
fn numbers_of<'a>(key: &str, published: impl IntoIterator<Item = &'a (String, u32, Uuid)>) -> Vec<u32> {
    let mut numbers = Vec::new();
    for (_, number, _) in published.into_iter().filter(|(of, ..)| of == key) {
        if !numbers.contains(number) {
            numbers.push(*number);
        }
    }
    numbers
}
