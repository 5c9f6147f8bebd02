//! ORDER-2: one key, one order, one answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use proto::order::v1::OrderState;
use rpc::{Failure, Kind};

use super::{World, placed, request};

#[tokio::test]
async fn an_accepted_order_can_be_read() {
    let world = World::new().await;
    let order = placed(world.place(request("s1", "k1")).await.unwrap());
    assert_eq!(order.state(), OrderState::Placed);
    assert_eq!(order.total.as_ref().unwrap().amount_minor, 3 * 1250);
    assert_eq!(order.lines.len(), 2);
    assert_eq!(world.get(&order.order_id).await.unwrap(), order);
}

#[tokio::test]
async fn a_repeat_gives_the_same_answer() {
    let world = World::new().await;
    let first = world.place(request("s1", "k1")).await.unwrap();
    let again = world.place(request("s1", "k1")).await.unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!(first.order, again.order);
}

#[tokio::test]
async fn concurrent_repeats_make_one_order() {
    let world = World::new().await;
    let calls = (0..32).map(|_| world.place(request("s1", "k1")));
    let answers = futures::future::join_all(calls).await;
    let mut ids = BTreeSet::new();
    let mut new = 0;
    for answer in answers {
        let answer = answer.unwrap();
        new += usize::from(!answer.replayed);
        ids.insert(placed(answer).order_id);
    }
    assert_eq!((ids.len(), new), (1, 1));
    assert_eq!(world.outbox().await.len(), 1);
}

#[tokio::test]
async fn another_body_under_a_used_key_is_refused() {
    let world = World::new().await;
    world.place(request("s1", "k1")).await.unwrap();
    let mut other = request("s1", "k1");
    other.payment_token = "tok_mastercard".to_owned();
    let refused = world.place(other).await.unwrap_err();
    assert_eq!((refused.kind, refused.reason.as_str()), (Kind::Conflict, "ORDER_KEY_REUSED"));
}

#[tokio::test]
async fn keys_of_two_sessions_do_not_meet() {
    let world = World::new().await;
    let one = placed(world.place(request("s1", "k1")).await.unwrap());
    let two = placed(world.place(request("s2", "k1")).await.unwrap());
    assert_ne!(one.order_id, two.order_id);
}

#[tokio::test]
async fn a_burst_with_repeats_makes_one_order_for_each_key() {
    let world = World::new().await;
    let client = world.client();
    let call = |number: usize| {
        let mut client = client.clone();
        async move { client.place_order(request("s1", &format!("k{}", number % 100))).await.map(tonic::Response::into_inner) }
    };
    let answers = futures::future::join_all((0..400).map(call)).await;
    let mut of_key: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    let mut new = 0;
    for (number, answer) in answers.into_iter().enumerate() {
        let answer = answer.unwrap();
        new += usize::from(!answer.replayed);
        of_key.entry(number % 100).or_default().insert(placed(answer).order_id);
    }
    assert!(of_key.values().all(|ids| ids.len() == 1), "{of_key:?}");
    assert_eq!((of_key.len(), new, world.outbox().await.len()), (100, 100, 100));
}

#[tokio::test]
async fn an_order_whose_key_is_held_does_not_keep_the_others() {
    let world = World::new().await;
    let pool = world.pool();
    let mut holder = pool.begin().await.unwrap();
    let hold = "INSERT INTO idempotency_keys (scope, key, request_hash) VALUES ('place/s1', 'held', '')";
    sqlx::query(hold).execute(&mut *holder).await.unwrap();

    let client = world.client();
    let call = |key: String| {
        let mut client = client.clone();
        async move {
            let begun = Instant::now();
            (client.place_order(request("s1", &key)).await.map_err(Failure::from), begun.elapsed())
        }
    };
    let others = futures::future::join_all((0..60).map(|number| call(format!("k{number}"))));
    let ((held, _), others) = tokio::join!(call("held".to_owned()), others);
    assert_eq!(held.unwrap_err().reason, "ORDER_KEY_BUSY");
    for (answer, took) in others {
        assert!(!answer.unwrap().into_inner().replayed);
        assert!(took < Duration::from_millis(1500), "the patience with a held key is 2 s, this took {took:?}");
    }
    drop(holder);
    assert_eq!(world.outbox().await.len(), 60);
}
