//! Dead letters: what cannot be applied is put aside with its cause, what follows for its key follows it, and all of it can be replayed in order.

use std::{sync::atomic::Ordering, time::Duration};

use spine::letters::{self, Action};
use testkit::eventually;

use super::{
    World,
    consumer::{Log, POISON},
};

impl World {
    async fn letters(&self, count: usize) -> Vec<letters::Letter> {
        eventually(&format!("{count} dead letters"), Duration::from_secs(30), async || {
            let letters = letters::read(&self.kafka.address(), self.topic).await.map_err(|error| format!("{error:?}"))?;
            if letters.len() >= count { Ok(letters) } else { Err(format!("{} of {count}", letters.len())) }
        })
        .await
    }
}

async fn broken() -> (World, Log) {
    let log = Log::default();
    log.is_broken.store(true, Ordering::Release);
    (World::with_log().await, log)
}

#[tokio::test]
async fn poison_is_put_aside_with_its_key_and_other_keys_go_on() {
    let (world, log) = broken().await;
    let _consumer = world.consume(log.clone());
    for (key, number) in [("a", 1), ("a", POISON), ("b", 2), ("a", 3), ("b", 4), ("a", 5)] {
        world.kafka.publish(&world.event(key, number)).await;
    }
    world.eventually_logged("b", &[2, 4]).await;
    let letters = world.letters(3).await;
    assert_eq!(world.logged("a").await, [1]);
    assert!(letters[0].cause.contains("it is poison"), "{}", letters[0].cause);
    assert!(letters[1].cause.contains("earlier message"), "{}", letters[1].cause);
    assert!(
        letters.iter().all(|letter| letter.consumer == world.topic
            && letter.origin.starts_with(&format!("{}/", world.topic))
            && letter.attempts >= 1)
    );

    // Replayed while the fault is still there, they come back, and nothing has changed.
    for letter in &letters {
        letters::send_again(&world.kafka.address(), letter, Action::Replay).await.unwrap();
    }
    world.letters(6).await;
    assert_eq!(world.logged("a").await, [1]);
    let waiting: i64 = world.one("SELECT count(*) FROM dead_letters").await;
    assert_eq!(waiting, 3);

    // Replayed when it is gone, they are applied in order, and the key is free.
    log.is_broken.store(false, Ordering::Release);
    for letter in &letters {
        letters::send_again(&world.kafka.address(), letter, Action::Replay).await.unwrap();
    }
    world.eventually_logged("a", &[1, i64::from(POISON), 3, 5]).await;
    world.kafka.publish(&world.event("a", 7)).await;
    world.eventually_logged("a", &[1, i64::from(POISON), 3, 5, 7]).await;
    let waiting: i64 = world.one("SELECT count(*) FROM dead_letters").await;
    assert_eq!(waiting, 0);
}

#[tokio::test]
async fn a_letter_that_is_dropped_is_never_applied_and_frees_its_key() {
    let (world, log) = broken().await;
    let _consumer = world.consume(log.clone());
    world.kafka.publish(&world.event("a", POISON)).await;
    let letters = world.letters(1).await;
    log.is_broken.store(false, Ordering::Release);
    letters::send_again(&world.kafka.address(), &letters[0], Action::Drop).await.unwrap();
    world.kafka.publish(&world.event("b", 1)).await;
    world.eventually_logged("b", &[1]).await;
    eventually("the key is free", Duration::from_secs(20), async || {
        let waiting: i64 = world.one("SELECT count(*) FROM dead_letters").await;
        if waiting == 0 { Ok(()) } else { Err(format!("{waiting} letters")) }
    })
    .await;
    world.kafka.publish(&world.event("a", 2)).await;
    world.eventually_logged("a", &[2]).await;
}

#[tokio::test]
async fn a_message_that_is_none_of_ours_is_put_aside() {
    let world = World::with_log().await;
    let _consumer = world.consume(Log::default());
    world.kafka.publish_raw(world.topic, "a", b"whatever").await;
    world.kafka.publish(&world.event("a", 1)).await;
    world.eventually_logged("a", &[1]).await;
    let letters = world.letters(1).await;
    assert_eq!((letters[0].event_id, letters[0].payload.as_ref()), (None, b"whatever".as_ref()));
    assert!(letters[0].cause.contains("ce_id"), "{}", letters[0].cause);
}
