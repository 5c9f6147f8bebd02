//! BUS-1 when a region is lost: an event whose change is undone is not published, and no other is lost.

use std::time::Duration;

use ids::Region;
use sqlx::PgConnection;
use testkit::eventually;

use super::World;

async fn run(database: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(database).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[tokio::test]
async fn what_a_lost_region_committed_unheard_is_not_published_when_it_is_back() {
    let (eu, us) = (World::new().await, World::of(Region::Us).await);
    let postgres = testkit::postgres().await;
    postgres.mirror(&eu.url, &us.url).await;
    let (mut at_eu, mut at_us) = (postgres.superuser(&eu.url).await, postgres.superuser(&us.url).await);
    let _relay = eu.mirrored_relay();
    eu.append("a", 1).await;
    eu.published(1).await;
    // As when a mirrored row is written: what us has heard of eu is a transaction with a change for it.
    run(&mut at_eu, "INSERT INTO region.undone (tbl, pk, epoch) VALUES ('region.undone', '{\"undone_no\": 0}', 0)").await;
    eventually("us has heard eu", Duration::from_secs(20), async || {
        let heard: i64 = sqlx::query_scalar("SELECT count(*) FROM region.undone").fetch_one(&mut at_us).await?;
        if heard == 1 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
    })
    .await;

    // Cut off; its time is up, and it does not know yet what has become of its home.
    run(&mut at_us, "SELECT region.listen_to('eu', false)").await;
    run(&mut at_eu, "SELECT region.set_home('eu', 'eu', 0, 0)").await;
    eu.append("a", 2).await;
    // Of no home, so it is not undone.
    let elsewhere = eu.event("b", 1);
    store::outbox::append_in(&mut eu.pool.acquire().await.unwrap(), &elsewhere, None).await.unwrap();
    run(&mut at_us, "SELECT region.set_home('eu', 'us', 1, 1000000)").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(eu.published(1).await.len(), 1, "nothing is told while it is not known");

    run(&mut at_eu, "SELECT region.set_home('eu', 'us', 1, 0)").await;
    let published = eu.published(2).await;
    assert!(published.iter().all(|(key, number, _)| *number == 1 && (key == "a" || key == "b")), "{published:?}");
    eventually("the event is forgotten", Duration::from_secs(20), async || match eu.one::<i64>("SELECT count(*) FROM outbox").await {
        2 => Ok(()),
        rows => Err(rows),
    })
    .await;

    // Back, and handed over without a gap: nothing of before is dropped again, and nothing of after.
    run(&mut at_us, "SELECT region.listen_to('eu', true); SELECT region.set_home('eu', 'eu', 2, 0)").await;
    run(&mut at_eu, "SELECT region.set_home('eu', 'eu', 2, 1000000)").await;
    eu.append("a", 3).await;
    let numbers: Vec<u32> = eu.published(3).await.iter().map(|(_, number, _)| *number).collect();
    assert!(numbers.contains(&3) && !numbers.contains(&2), "{numbers:?}");
}
