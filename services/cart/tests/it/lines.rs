//! A shopper's changes, repeated, at once and across a kill.

use std::collections::BTreeMap;

use futures::future::join_all;

use super::{World, lines};

#[tokio::test]
async fn a_cart_never_written_to_is_empty() {
    let world = World::new().await;
    let cart = world.get("nobody").await;
    assert!(cart.lines.is_empty());
    assert_eq!(cart.version, 0);
}

#[tokio::test]
async fn setting_a_line_sets_and_does_not_add() {
    let world = World::new().await;
    world.set("s1", "MUG-1", 2, "k1").await.unwrap();
    world.set("s1", "MUG-1", 2, "k2").await.unwrap();
    let cart = world.set("s1", "POT-7", 1, "k3").await.unwrap();
    assert_eq!(lines(&cart), BTreeMap::from([("MUG-1", 2), ("POT-7", 1)]));
    assert_eq!(world.get("s1").await, cart);
    let cart = world.remove("s1", "MUG-1", "k4").await.unwrap();
    assert_eq!(lines(&cart), BTreeMap::from([("POT-7", 1)]));
    assert_eq!(world.remove("s1", "MUG-1", "k5").await.unwrap(), cart, "a line that is not there is no error");
}

#[tokio::test]
async fn a_late_repeat_has_no_further_effect() {
    let world = World::new().await;
    let first = world.set("s1", "MUG-1", 2, "k1").await.unwrap();
    world.set("s1", "MUG-1", 5, "k2").await.unwrap();
    assert_eq!(world.set("s1", "MUG-1", 2, "k1").await.unwrap(), first, "the first answer again");
    assert_eq!(lines(&world.get("s1").await), BTreeMap::from([("MUG-1", 5)]));
}

#[tokio::test]
async fn concurrent_changes_of_one_cart_are_all_kept() {
    let world = World::new().await;
    let skus: Vec<String> = (0..32).map(|number| format!("P-{number}")).collect();
    let answers = join_all(skus.iter().map(|sku| world.set("s1", sku, 1, sku))).await;
    let mut versions: Vec<u64> = answers.into_iter().map(|answer| answer.unwrap().version).collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=32).collect::<Vec<u64>>(), "each change saw the one before it");
    assert_eq!(world.get("s1").await.lines.len(), 32);
}

#[tokio::test]
async fn an_acknowledged_change_survives_kill() {
    let world = World::new().await;
    let cart = world.set("s1", "MUG-1", 2, "k1").await.unwrap();
    world.service.lock().await.kill_and_restart().await;
    assert_eq!(world.get("s1").await, cart);
}
