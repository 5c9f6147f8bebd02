//! Two keepers in a model of the world, by random schedules: LEASE-1, and nothing acknowledged is lost by a takeover.

mod coordinator;
mod database;
mod world;

use std::time::Duration;

use ids::Region;
use proptest::prelude::*;

use self::world::{Fault, World};
use super::Stand;
use crate::Mode;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn settled(seed: u64) -> World {
    let mut world = World::new(seed);
    world.run(s(8));
    world.assert_at_home();
    world
}

#[test]
fn each_region_holds_its_own_home_and_both_are_mirrored() {
    let mut world = settled(1);
    for home in Region::ALL {
        assert_eq!(world.record(home).holder, home);
        assert_eq!(world.record(home).mode, Mode::Mirrored);
    }
    assert!(world.acknowledged() > 100);
    let epochs = Region::ALL.map(|home| world.record(home).epoch);
    world.run(s(60));
    assert_eq!(Region::ALL.map(|home| world.record(home).epoch), epochs, "nothing changes when nothing happens");
}

#[test]
fn a_lost_region_is_taken_over_and_gets_its_home_back() {
    let mut world = settled(2);
    world.run(s(10));
    world.fault(Fault::Lost(Region::Eu), s(12));
    world.run(s(8));
    let record = world.record(Region::Eu);
    assert_eq!((record.holder, record.mode), (Region::Us, Mode::Solo), "the mirror is gone with it");
    assert!(world.is_open(Region::Us, Region::Eu));
    world.run(s(25));
    world.assert_at_home();
}

#[test]
fn what_is_solo_is_not_taken_over() {
    let mut world = settled(3);
    world.run(s(10));
    world.fault(Fault::Cut, s(60));
    world.run(s(5));
    assert_eq!(world.record(Region::Eu).mode, Mode::Solo);
    world.fault(Fault::Lost(Region::Eu), s(30));
    world.run(s(25));
    assert_eq!(world.record(Region::Eu).holder, Region::Eu);
    assert!(!world.is_open(Region::Us, Region::Eu));
    world.take(Region::Us, Region::Eu, false);
    world.run(s(2));
    assert!(!world.is_open(Region::Us, Region::Eu), "nor by hand, unless it is forced");
    world.forced = true;
    world.take(Region::Us, Region::Eu, true);
    world.run(s(2));
    assert!(world.is_open(Region::Us, Region::Eu));
}

#[test]
fn a_handover_takes_less_than_a_second_and_stays() {
    let mut world = settled(4);
    world.hand_over(Region::Eu, true);
    let begun = world.now;
    world.run_until(s(2), |world| world.is_open(Region::Us, Region::Eu));
    assert!(world.now.checked_sub(begun).unwrap() < s(1));
    world.run(s(30));
    assert!(world.is_open(Region::Us, Region::Eu), "it is pinned");
    world.hand_over(Region::Eu, false);
    world.run(s(3));
    world.assert_at_home();
}

#[test]
fn a_drained_region_hands_its_home_over_until_it_is_not_drained_any_more() {
    let mut world = settled(5);
    world.drain(Region::Us, true);
    world.run(s(20));
    assert!(world.is_open(Region::Eu, Region::Us));
    assert_eq!(world.stand(Region::Us, Region::Us), Stand::Apart);
    world.drain(Region::Us, false);
    world.run(s(12));
    world.assert_at_home();
}

#[test]
fn a_restarted_keeper_goes_on_in_the_same_epoch() {
    let mut world = settled(6);
    let before = world.record(Region::Eu);
    world.fault(Fault::Killed(Region::Eu), s(1));
    world.run(s(6));
    assert_eq!(world.record(Region::Eu), before);
    world.assert_at_home();
}

#[test]
fn a_coordinator_that_cannot_be_reached_ends_the_writing_in_time() {
    let mut world = settled(7);
    world.fault(Fault::Unreachable(Region::Eu), s(20));
    world.run(s(3));
    assert!(!world.is_open(Region::Eu, Region::Eu));
    world.run(s(40));
    world.assert_at_home();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]
    /// Every step of the world checks: one writer for a home, a mirrored record covers what is acknowledged, epochs grow.
    #[test]
    fn whatever_happens_one_region_writes_a_home_and_nothing_acknowledged_is_lost(seed: u64, faults in 1usize..25) {
        let mut world = World::new(seed);
        world.run(s(12));
        for _ in 0..faults {
            world.random_fault();
            let pause = world.random(3_000);
            world.run(Duration::from_millis(pause));
        }
        world.heal();
        world.run(s(60));
        world.send_home();
        world.run(s(15));
        world.assert_at_home();
    }
}

/// More with `LEASE_CASES`, for a long night.
fn cases() -> u32 {
    std::env::var_os("LEASE_CASES").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(200)
}
