//! Without a mirror between the databases: each region works alone, so nothing is taken over unless it is forced.

use std::time::Duration;

use ids::Region;
use proto::region::v1::DurabilityMode;
use sqlx::Connection as _;

use crate::world::{SOON, World};

#[tokio::test]
async fn a_region_holds_its_home_for_less_than_its_lease_lasts() {
    let mut world = World::new().await;
    world.start(Region::Eu).await;
    let held = world.writes(Region::Eu, Region::Eu).await;
    assert_eq!(held.mode(), DurabilityMode::Solo, "there is no mirror");
    assert!(held.epoch > 0 && held.valid_ms <= 2_000, "{held:?}");
    let open = world.open_for(Region::Eu, Region::Eu).await;
    assert!((0.0..=2.0).contains(&open), "{open}");
    assert!(world.open_for(Region::Us, Region::Us).await < 0.0, "nobody has said anything there");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(world.open_for(Region::Eu, Region::Eu).await > 0.0, "it is renewed");
    assert_eq!(world.writes(Region::Eu, Region::Eu).await.epoch, held.epoch);
}

#[tokio::test]
async fn a_killed_service_goes_on_in_its_epoch_and_a_lost_coordinator_ends_the_writing() {
    let mut world = World::new().await;
    world.start(Region::Eu).await;
    let before = world.writes(Region::Eu, Region::Eu).await;
    world.kill(Region::Eu);
    world.start(Region::Eu).await;
    assert_eq!(world.writes(Region::Eu, Region::Eu).await.epoch, before.epoch);
    world.coordinator.kill();
    testkit::eventually("the home's time runs out", SOON, async || {
        let open = world.open_for(Region::Eu, Region::Eu).await;
        if open < 0.0 { Ok(()) } else { Err(format!("{open} s left")) }
    })
    .await;
    world.coordinator.kill_and_restart().await;
    world.writes(Region::Eu, Region::Eu).await;
}

#[tokio::test]
async fn a_holder_that_worked_alone_is_replaced_by_force_only() {
    let mut world = World::new().await;
    world.start(Region::Eu).await;
    world.start(Region::Us).await;
    let before = world.writes(Region::Eu, Region::Eu).await;
    world.writes(Region::Us, Region::Us).await;
    world.kill(Region::Eu);
    world.never_both(Region::Eu, Duration::from_secs(6)).await;
    let refused = world.failover(Region::Us, Region::Eu, false).await.expect_err("it may lose orders");
    assert!(refused.message().contains("force"), "{refused}");
    assert!(world.open_for(Region::Us, Region::Eu).await < 0.0);
    let taken = world.failover(Region::Us, Region::Eu, true).await.expect("it is forced");
    assert!(taken.epoch > before.epoch && taken.pinned, "{taken:?}");
    world.start(Region::Eu).await;
    world.never_both(Region::Eu, Duration::from_secs(4)).await;
    assert!(world.open_for(Region::Eu, Region::Eu).await < 0.0, "it came back fenced");
}

#[tokio::test]
async fn who_relies_on_a_home_that_went_is_waited_for_and_holds_up_nobody() {
    const RELY: &str = "SELECT pg_advisory_xact_lock_shared(hashtextextended('home eu', 0))";
    let mut world = World::new().await;
    world.start(Region::Eu).await;
    world.start(Region::Us).await;
    world.writes(Region::Eu, Region::Eu).await;
    world.writes(Region::Us, Region::Us).await;
    world.kill(Region::Eu);
    let mut relying = world.superuser(Region::Eu).await;
    let mut under_way = relying.begin().await.expect("a transaction");
    sqlx::query(RELY).execute(&mut *under_way).await.expect("nobody has it alone");
    testkit::eventually("us has taken eu's home", SOON, async || world.failover(Region::Us, Region::Eu, true).await).await;
    world.start(Region::Eu).await;
    let mut another = world.superuser(Region::Eu).await;
    sqlx::raw_sql("SET lock_timeout = '100ms'").execute(&mut another).await.expect("a setting");
    for _ in 0..30 {
        sqlx::query(RELY).execute(&mut another).await.expect("it does not queue");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(world.open_for(Region::Eu, Region::Eu).await < 0.0, "closed at once");
}
