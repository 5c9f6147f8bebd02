//! BUS-1, its first half: a committed change has its event published, at least once, in order per key.

use std::{collections::BTreeSet, time::Duration};

use testkit::eventually;

use super::{World, numbers_of};

#[tokio::test]
async fn what_commits_is_published_in_commit_order_and_what_is_rolled_back_is_not() {
    let world = World::new().await;
    let _relay = world.relay();
    // From here on the slot is there.
    world.append("other", 0).await;
    world.published(1).await;
    let mut slow = world.pool.begin().await.unwrap();
    world.append_in(&mut slow, "a", 1).await;
    let mut never = world.pool.begin().await.unwrap();
    world.append_in(&mut never, "a", 99).await;
    world.append("a", 2).await;
    never.rollback().await.unwrap();
    slow.commit().await.unwrap();
    world.append("a", 3).await;
    let published = world.published(4).await;
    assert_eq!(numbers_of("a", &published), [2, 1, 3], "the order of commits, not of ids");
}

#[tokio::test]
async fn a_relay_that_is_killed_again_and_again_loses_nothing_and_keeps_the_order() {
    let world = World::new().await;
    let mut relay = world.relay();
    let mut ids = BTreeSet::new();
    for number in 0..400 {
        ids.insert(world.append(&format!("key-{}", number % 7), number).await);
        if number % 57 == 11 {
            drop(std::mem::replace(&mut relay, world.relay()));
        }
    }
    let published = world.published(400).await;
    assert_eq!(published.iter().map(|(_, _, id)| *id).collect::<BTreeSet<_>>(), ids);
    for key in 0..7 {
        let numbers = numbers_of(&format!("key-{key}"), &published);
        assert!(numbers.is_sorted() && numbers.iter().all(|number| number % 7 == key), "key-{key}: {numbers:?}");
    }
}

#[tokio::test]
async fn what_the_lost_slot_held_is_published_from_the_table() {
    let world = World::new().await;
    let relay = world.relay();
    world.append("a", 1).await;
    world.published(1).await;
    eventually("the relay has noted its progress", Duration::from_secs(10), async || {
        let is_noted: bool = world.one("SELECT confirmed_at > now() - interval '1 minute' FROM outbox_progress").await;
        if is_noted { Ok(()) } else { Err("not yet") }
    })
    .await;
    drop(relay);
    world.append("a", 2).await;
    eventually("the slot can be dropped", Duration::from_secs(10), async || {
        sqlx::query("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()")
            .execute(&world.pool)
            .await
    })
    .await;
    world.append("a", 3).await;
    let _relay = world.relay();
    let published = world.published(3).await;
    assert_eq!(numbers_of("a", &published), [1, 2, 3]);
    world.append("a", 4).await;
    assert_eq!(numbers_of("a", &world.published(4).await), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_new_slot_whose_relay_died_before_it_had_read_the_table_hides_nothing() {
    let world = World::new().await;
    world.append("a", 1).await;
    // As if the process had been killed right after it made the slot.
    sqlx::query("SELECT pg_create_logical_replication_slot(current_database() || '_order_outbox', 'pgoutput')")
        .execute(&world.pool)
        .await
        .unwrap();
    let _relay = world.relay();
    assert_eq!(numbers_of("a", &world.published(1).await), [1]);
    eventually("the table was read", Duration::from_secs(10), async || {
        let is_interrupted: bool = world.one("SELECT is_interrupted FROM outbox_progress").await;
        if is_interrupted { Err("not yet") } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn while_kafka_is_away_nothing_waits_and_nothing_is_lost() {
    let world = World::new().await;
    let relay = world.relay_to(testkit::nowhere());
    for number in 0..50 {
        world.append("a", number).await;
    }
    drop(relay);
    let _relay = world.relay();
    assert_eq!(numbers_of("a", &world.published(50).await), (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn two_relays_of_one_outbox_take_turns() {
    let world = World::new().await;
    let first = world.relay();
    world.append("a", 1).await;
    world.published(1).await;
    let _second = world.relay();
    world.append("a", 2).await;
    assert_eq!(world.published(2).await.len(), 2, "only one of them publishes");
    drop(first);
    world.append("a", 3).await;
    assert_eq!(numbers_of("a", &world.published(3).await), [1, 2, 3]);
}

#[tokio::test]
async fn the_slot_does_not_keep_what_other_tables_write() {
    let world = World::new().await;
    let _relay = world.relay();
    world.append("a", 1).await;
    world.published(1).await;
    sqlx::raw_sql("CREATE TABLE other (text text); INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
        .execute(&world.pool)
        .await
        .unwrap();
    eventually("the slot has let go of it", Duration::from_secs(20), async || {
        let lag: i64 = world
            .one("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint FROM pg_replication_slots WHERE database = current_database()")
            .await;
        if lag < 1_000_000 { Ok(()) } else { Err(format!("{lag} bytes")) }
    })
    .await;
}

#[tokio::test]
async fn a_day_is_dropped_only_when_all_of_it_is_in_kafka() {
    let world = World::new().await;
    let days = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'outbox'::regclass";
    let before: i64 = world.one(days).await;
    sqlx::raw_sql("SELECT make_day('outbox', 'created_at', date '2026-01-05')").execute(&world.pool).await.unwrap();
    sqlx::query(
        "INSERT INTO outbox (event_id, topic, key, type, payload, created_at)
         VALUES (gen_random_uuid(), $1, 'a', 'order.test', '\\x00000001', '2026-01-05 12:00Z')",
    )
    .bind(world.topic)
    .execute(&world.pool)
    .await
    .unwrap();
    let drop_days = "SELECT coalesce(sum(drop_days('outbox', least(now() - interval '1 day', confirmed_at - interval '1 hour'))), 0)
                     FROM outbox_progress WHERE NOT is_interrupted";
    let dropped: i64 = world.one(drop_days).await;
    assert_eq!(dropped, 0, "it was not published yet");
    let _relay = world.relay();
    world.published(1).await;
    eventually("the day goes", Duration::from_secs(40), async || {
        let dropped: i64 = world.one(drop_days).await;
        if dropped == 1 { Ok(()) } else { Err(format!("{dropped} dropped")) }
    })
    .await;
    let after: i64 = world.one(days).await;
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_row_of_a_day_without_a_table_is_kept_and_moves_to_it() {
    let world = World::new().await;
    sqlx::raw_sql(
        "INSERT INTO outbox (event_id, topic, key, type, payload, created_at) VALUES (gen_random_uuid(), 'order.events', 'a', 'order.test', '\\x00', '2031-03-04 12:00Z');
         SELECT make_day('outbox', 'created_at', date '2031-03-04'); SELECT make_day('outbox', 'created_at', date '2031-03-04')",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let moved: i64 = world.one("SELECT count(*) FROM outbox_20310304").await;
    let left: i64 = world.one("SELECT count(*) FROM outbox_other").await;
    assert_eq!((moved, left), (1, 0));
}
