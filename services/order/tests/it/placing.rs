//! ORDER-2: one key, one order, one answer.

use std::collections::BTreeSet;

use proto::order::v1::OrderState;
use rpc::Kind;

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
