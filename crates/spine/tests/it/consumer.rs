//! BUS-1, its second half: an event is applied once, in order per key, whatever comes twice, late or not at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use spine::{Applied, Consumer, Delivery, Handler, InDatabase, Pace, Refusal};
use sqlx::{AssertSqlSafe, PgConnection};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use super::{Running, World, number};

/// Writes what it applies into a table.
#[derive(Clone, Default)]
pub(crate) struct Log {
    pub(crate) is_broken: Arc<AtomicBool>,
    tried: Arc<AtomicU32>,
}

/// A number that is refused for good while the log is broken.
pub(crate) const POISON: u32 = 666;
/// A number that fails for no reason that would pass, while the log is broken.
const FAILING: u32 = 667;

#[async_trait]
impl Handler for Log {
    fn wants(&self, kind: &str) -> bool {
        kind == "order.test"
    }

    async fn apply_in(&self, tx: &mut PgConnection, delivery: &Delivery) -> Result<Applied, Refusal> {
        let number = number(&delivery.payload);
        let is_broken = self.is_broken.load(Ordering::Acquire);
        match number {
            POISON if is_broken => return Err(Refusal::Poison("it is poison".to_owned())),
            FAILING if is_broken => {
                self.tried.fetch_add(1, Ordering::AcqRel);
                return Err(Refusal::Failed("it fails".to_owned()));
            }
            _ => {}
        }
        sqlx::query("INSERT INTO log (key, number) VALUES ($1, $2)").bind(&delivery.key).bind(i64::from(number)).execute(tx).await?;
        Ok(Applied::default())
    }
}

impl World {
    pub(crate) async fn with_log() -> Self {
        let world = Self::new().await;
        sqlx::raw_sql("CREATE TABLE log (at bigserial, key text, number bigint)").execute(&world.pool).await.expect("a table can be made");
        world
    }

    pub(crate) fn consume(&self, handler: Log) -> Running {
        // One broker serves all tests: a group is as much this test's own as its topic, and named like it.
        let sink = InDatabase { pool: self.pool.clone(), consumer: self.topic, handler };
        let consumer =
            Consumer { bootstrap: self.kafka.address(), group: self.topic, topics: vec![self.topic].leak(), pace: Pace::Prompt, sink };
        Running(tokio::spawn(async { consumer.run("log-0", CancellationToken::new()).await.expect("the settings are fine") }))
    }

    pub(crate) async fn logged(&self, key: &str) -> Vec<i64> {
        sqlx::query_scalar("SELECT number FROM log WHERE key = $1 ORDER BY at")
            .bind(key)
            .fetch_all(&self.pool)
            .await
            .expect("the log can be read")
    }

    pub(crate) async fn eventually_logged(&self, key: &str, expected: &[i64]) {
        eventually(&format!("{key} has {expected:?}"), Duration::from_secs(40), async || {
            let logged = self.logged(key).await;
            if logged == expected { Ok(()) } else { Err(format!("{logged:?}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn every_event_twice_and_the_consumer_killed_again_and_again_is_applied_once_in_order() {
    let world = World::with_log().await;
    let mut consumer = world.consume(Log::default());
    for number in 0..120 {
        let event = world.event(&format!("key-{}", number % 5), number);
        world.kafka.publish(&event).await;
        world.kafka.publish(&event).await;
        if number % 40 == 17 {
            drop(std::mem::replace(&mut consumer, world.consume(Log::default())));
        }
    }
    for key in 0..5 {
        let expected: Vec<i64> = (0..120).filter(|number| number % 5 == key).collect();
        world.eventually_logged(&format!("key-{key}"), &expected).await;
    }
}

#[tokio::test]
async fn events_of_other_kinds_leave_no_trace() {
    let world = World::with_log().await;
    let _consumer = world.consume(Log::default());
    world.kafka.publish(&store::outbox::Event { kind: "order.other", ..world.event("a", 1) }).await;
    world.kafka.publish(&world.event("a", 2)).await;
    world.eventually_logged("a", &[2]).await;
    let noted: i64 = world.one("SELECT count(*) FROM inbox").await;
    assert_eq!(noted, 1);
}

#[tokio::test]
async fn what_fails_is_tried_some_times_and_what_passes_goes_on() {
    let world = World::with_log().await;
    let log = Log::default();
    log.is_broken.store(true, Ordering::Release);
    let _consumer = world.consume(log.clone());
    world.kafka.publish(&world.event("a", FAILING)).await;
    eventually("it was tried three times", Duration::from_secs(30), async || {
        let tried = log.tried.load(Ordering::Acquire);
        if tried >= 3 { Ok(()) } else { Err(format!("{tried} times")) }
    })
    .await;
    world.kafka.publish(&world.event("a", 1)).await;
    log.is_broken.store(false, Ordering::Release);
    world.eventually_logged("a", &[FAILING.into(), 1]).await;
}

#[tokio::test]
async fn a_database_that_is_away_only_delays() {
    let world = World::with_log().await;
    // Somebody has locked the table: an insert waits, fails by its lock timeout, and is tried again.
    let mut lock = world.pool.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE log").execute(&mut *lock).await.unwrap();
    let _consumer = world.consume(Log::default());
    for number in 0..20 {
        world.kafka.publish(&world.event("a", number)).await;
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    lock.rollback().await.unwrap();
    world.eventually_logged("a", &(0..20).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_consumer_that_is_moved_back_reads_again_and_applies_nothing_twice() {
    let world = World::with_log().await;
    let _consumer = world.consume(Log::default());
    for number in 0..10 {
        world.kafka.publish(&world.event("a", number)).await;
    }
    world.eventually_logged("a", &(0..10).collect::<Vec<_>>()).await;
    // As `backbone spine replay` does; half of what was applied is to be applied again.
    sqlx::raw_sql(
        "BEGIN; DELETE FROM inbox WHERE event_id IN (SELECT event_id FROM inbox ORDER BY event_id OFFSET 5);
         DELETE FROM log WHERE number >= 5; UPDATE consumer_offsets SET next_offset = 0; COMMIT",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    world.eventually_logged("a", &(0..10).collect::<Vec<_>>()).await;
    world.kafka.publish(&world.event("a", 10)).await;
    world.eventually_logged("a", &(0..11).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn the_offset_in_the_database_is_what_counts() {
    let world = World::with_log().await;
    let consumer = world.consume(Log::default());
    world.kafka.publish(&world.event("a", 1)).await;
    world.eventually_logged("a", &[1]).await;
    // Long enough for Kafka to hear of it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(consumer);
    // As if the database had come back from a backup.
    sqlx::raw_sql("DELETE FROM log; DELETE FROM inbox; UPDATE consumer_offsets SET next_offset = 0").execute(&world.pool).await.unwrap();
    let _consumer = world.consume(Log::default());
    world.kafka.publish(&world.event("a", 2)).await;
    world.eventually_logged("a", &[1, 2]).await;
}

#[tokio::test]
async fn a_backlog_larger_than_memory_allows_is_read_in_bites() {
    let world = World::with_log().await;
    let payload = vec![0_u8; 200_000];
    // 40 MB in one partition: five times what a lane may hold.
    for _ in 0..200 {
        let event = store::outbox::Event { payload: payload.clone(), kind: "order.big", ..world.event("a", 0) };
        world.kafka.publish(&event).await;
    }
    world.kafka.publish(&world.event("a", 1)).await;
    // Slow, so that the lane fills.
    sqlx::raw_sql(AssertSqlSafe(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$;
         CREATE TRIGGER slow AFTER INSERT OR UPDATE ON consumer_offsets FOR EACH STATEMENT EXECUTE FUNCTION slow()",
    ))
    .execute(&world.pool)
    .await
    .unwrap();
    let _consumer = world.consume(Log::default());
    world.eventually_logged("a", &[1]).await;
}
