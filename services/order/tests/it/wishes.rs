//! Cancel and return as a shopper asks for them, without Temporal: they are stored, under the lock of the order, once for each key.

use std::time::Duration;

use proto::order::v1::{CancelOrderRequest, CancelOrderResponse, Order, OrderState, ReturnOrderRequest};
use rpc::{Failure, Kind};

use super::{World, placed, request};

impl World {
    async fn cancel(&self, order_id: &str, session: &str, key: &str) -> Result<CancelOrderResponse, Failure> {
        let (order_id, session_id, idempotency_key) = (order_id.to_owned(), session.to_owned(), key.to_owned());
        let answer = self.client().cancel_order(CancelOrderRequest { order_id, session_id, idempotency_key }).await;
        answer.map(tonic::Response::into_inner).map_err(Failure::from)
    }

    async fn send_back(&self, order_id: &str, session: &str, key: &str) -> Result<Order, Failure> {
        let (order_id, session_id, idempotency_key) = (order_id.to_owned(), session.to_owned(), key.to_owned());
        let answer = self.client().return_order(ReturnOrderRequest { order_id, session_id, idempotency_key }).await;
        answer.map(|answer| answer.into_inner().order.expect("an answer has an order")).map_err(Failure::from)
    }

    async fn course(&self, order_id: &str) -> String {
        sqlx::query_scalar("SELECT course FROM orders WHERE order_id::text = $1")
            .bind(order_id)
            .fetch_one(&self.pool())
            .await
            .expect("the order is there")
    }
}

#[tokio::test]
async fn a_cancel_is_stored_before_it_is_answered() {
    let mut world = World::new().await;
    let id = placed(world.place(request("s1", "k1")).await.unwrap()).order_id;
    let answer = world.cancel(&id, "s1", "c1").await.unwrap();
    let order = answer.order.unwrap();
    assert!(!answer.replayed && order.cancel_requested && order.state() == OrderState::Placed, "its saga has not run");
    world.service.kill_and_restart().await;
    assert_eq!(world.course(&id).await, "cancelling");
    assert!(world.get(&id).await.unwrap().cancel_requested);
    assert_eq!(world.outbox().await.len(), 1, "a wish is no event");
}

#[tokio::test]
async fn a_repeated_cancel_gets_the_first_answer_and_another_order_under_its_key_is_refused() {
    let world = World::new().await;
    let one = placed(world.place(request("s1", "k1")).await.unwrap()).order_id;
    let two = placed(world.place(request("s1", "k2")).await.unwrap()).order_id;
    let first = world.cancel(&one, "s1", "c1").await.unwrap();
    sqlx::query("UPDATE orders SET state = 'cancelled', version = 2").execute(&world.pool()).await.unwrap();
    let again = world.cancel(&one, "s1", "c1").await.unwrap();
    assert_eq!((again.order, again.replayed), (first.order, true), "whatever became of the order since");
    let refused = world.cancel(&two, "s1", "c1").await.unwrap_err();
    assert_eq!((refused.kind, refused.reason.as_str()), (Kind::Conflict, "ORDER_KEY_REUSED"));
    let other_key = world.cancel(&one, "s1", "c2").await.unwrap();
    assert_eq!(other_key.order.unwrap().state(), OrderState::Cancelled, "what is cancelled needs no cancelling");
}

#[tokio::test]
async fn only_its_shopper_in_its_region_changes_an_order() {
    let world = World::new().await;
    let id = placed(world.place(request("s1", "k1")).await.unwrap()).order_id;
    let stranger = world.cancel(&id, "s2", "c1").await.unwrap_err();
    assert_eq!((stranger.kind, stranger.reason.as_str()), (Kind::Refused, "ORDER_NOT_YOURS"));
    sqlx::query("UPDATE orders SET home_region = 'us'").execute(&world.pool()).await.unwrap();
    let mut database = testkit::postgres().await.superuser(&world.database).await;
    sqlx::raw_sql("SELECT region.set_home('us', 'us', 1, 0)").execute(&mut database).await.unwrap();
    let elsewhere = world.cancel(&id, "s1", "c1").await.unwrap_err();
    assert_eq!((elsewhere.kind, elsewhere.reason.as_str()), (Kind::Refused, "ORDER_OTHER_REGION"));
    assert_eq!(world.course(&id).await, "open");
    let unknown = world.cancel("0193a0b0-0000-7000-8000-000000000000", "s1", "c1").await.unwrap_err();
    assert_eq!(unknown.reason, "ORDER_NOT_FOUND");
    for (order, session, key) in [("x", "s1", "c1"), (id.as_str(), "", "c1"), (id.as_str(), "s1", "")] {
        assert_eq!(world.cancel(order, session, key).await.unwrap_err().reason, "ORDER_INVALID_REQUEST");
    }
    let keys: i64 =
        sqlx::query_scalar("SELECT count(*) FROM idempotency_keys WHERE scope LIKE 'cancel/%'").fetch_one(&world.pool()).await.unwrap();
    assert_eq!(keys, 0, "a refused request does not use up its key");
}

#[tokio::test]
async fn past_the_pivot_a_cancel_is_refused_and_once_shipped_a_return_is_taken() {
    let world = World::new().await;
    let id = placed(world.place(request("s1", "k1")).await.unwrap()).order_id;
    let pool = world.pool();
    for (state, course) in [("placed", "passed"), ("confirmed", "passed"), ("confirmed", "open")] {
        sqlx::query("UPDATE orders SET state = $1, course = $2").bind(state).bind(course).execute(&pool).await.unwrap();
        let refused = world.cancel(&id, "s1", "c1").await.unwrap_err();
        assert_eq!((refused.kind, refused.reason.as_str()), (Kind::Refused, "ORDER_TOO_LATE_TO_CANCEL"), "{state} {course}");
        assert!(refused.message.contains("return it"), "{refused}");
        assert_eq!(world.send_back(&id, "s1", "r1").await.unwrap_err().reason, "ORDER_NOT_SHIPPED");
    }
    sqlx::query("UPDATE orders SET state = 'shipped', version = 3").execute(&pool).await.unwrap();
    assert_eq!(world.cancel(&id, "s1", "c1").await.unwrap_err().reason, "ORDER_TOO_LATE_TO_CANCEL");
    let order = world.send_back(&id, "s1", "r1").await.unwrap();
    assert_eq!((order.state(), order.return_requested), (OrderState::Shipped, true));
    assert_eq!(world.course(&id).await, "returning");
}

#[tokio::test]
async fn a_repeat_waits_for_the_first_and_then_says_that_it_still_runs() {
    let world = World::new().await;
    let pool = world.pool();
    let first = world.place(request("s1", "k1")).await.unwrap();
    let id = placed(first.clone()).order_id;
    let (hash, answer): (Vec<u8>, Vec<u8>) =
        sqlx::query_as("DELETE FROM idempotency_keys RETURNING request_hash, response").fetch_one(&pool).await.unwrap();
    let insert = "INSERT INTO idempotency_keys (scope, key, request_hash, response) VALUES ('place/s1', 'k1', $1, $2)";

    // The first is as good as done: its row is there, its commit is not.
    let mut running = pool.begin().await.unwrap();
    sqlx::query(insert).bind(&hash).bind(&answer).execute(&mut *running).await.unwrap();
    let repeat = world.place(request("s1", "k1"));
    let commit = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        running.commit().await.unwrap();
    };
    let (repeat, ()) = tokio::join!(repeat, commit);
    let repeat = repeat.unwrap();
    assert_eq!((repeat.order, repeat.replayed), (first.order, true), "it waited");

    // The first hangs.
    sqlx::query("DELETE FROM idempotency_keys").execute(&pool).await.unwrap();
    let mut hanging = pool.begin().await.unwrap();
    sqlx::query(insert).bind(&hash).bind(&answer).execute(&mut *hanging).await.unwrap();
    let busy = world.place(request("s1", "k1")).await.unwrap_err();
    assert_eq!((busy.kind, busy.reason.as_str()), (Kind::Conflict, "ORDER_KEY_BUSY"));
    hanging.rollback().await.unwrap();
    assert_ne!(placed(world.place(request("s1", "k1")).await.unwrap()).order_id, id, "what was rolled back is no answer");
}

#[tokio::test]
async fn lines_are_part_of_the_body_unless_they_come_from_the_cart() {
    let world = World::new().await;
    let mut other = request("s1", "k1");
    other.lines[0].quantity += 1;
    let mut dearer = request("s1", "k1");
    dearer.lines[0].unit_price.as_mut().unwrap().amount_minor += 1;
    world.place(request("s1", "k1")).await.unwrap();
    assert_eq!(world.place(other.clone()).await.unwrap_err().reason, "ORDER_KEY_REUSED");
    assert!(world.place(dearer).await.unwrap().replayed, "prices are the shop's");

    let cart = |mut request: proto::order::v1::PlaceOrderRequest| {
        request.idempotency_key = "k2".to_owned();
        request.lines_from_cart = true;
        request
    };
    world.place(cart(request("s1", "k2"))).await.unwrap();
    assert!(world.place(cart(other)).await.unwrap().replayed, "the cart has other things by now");
    let mut empty = cart(request("s1", "k2"));
    empty.lines.clear();
    assert!(world.place(empty).await.unwrap().replayed, "or none");
}
