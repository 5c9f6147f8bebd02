//! Every step taken twice, every step failing before and after its effect: the order ends as if nothing had been.

use ids::Region;
use proto::{
    order::v1::{Order, OrderState},
    payment::v1::PaymentState,
};

use super::{
    faults::Fault,
    shapes::{cancel_at_the_pivot, ship},
    world::Sagas,
};
use crate::market::STOCK;

/// Twice: the quick local call and the patient one both fail, where a step has both.
const FAULTS: [fn() -> Fault; 2] = [|| Fault::Before(2), || Fault::After(2)];

async fn assert_ended(world: &Sagas, order: &Order, what: &str, state: OrderState, payment: PaymentState, in_stock: i64, events: &[&str]) {
    let now = world.now(order).await;
    assert_eq!(now.state(), state, "{what}");
    assert_eq!(world.payment(order).await, Some(payment), "{what}");
    assert_eq!(world.in_stock(order).await, in_stock, "{what}");
    assert_eq!(world.events(order).await, events, "{what}: each event once");
}

fn taken(world: &Sagas, workflow: &str, step: &str) -> usize {
    world.faults.taken(workflow).iter().filter(|taken| *taken == step).count()
}

#[tokio::test]
async fn a_step_that_fails_or_is_taken_again_changes_nothing() {
    let world = Sagas::new("1h").await;
    for step in ["reserve", "authorize", "pivot", "capture", "ship"] {
        for fault in FAULTS {
            let order = world.ordered("tok_visa", 2).await;
            let what = format!("{step} {:?}", fault());
            world.faults.set(&order.order_id, step, fault());
            ship(&world, &order).await;
            let events = ["order.placed", "order.confirmed", "order.shipped"];
            assert_ended(&world, &order, &what, OrderState::Shipped, PaymentState::Captured, STOCK - 2, &events).await;
            let times = if matches!(fault(), Fault::After(_)) { 3 } else { 1 };
            assert_eq!(taken(&world, &order.order_id, step), times, "{what}: the fault was there");
        }
    }
}

#[tokio::test]
async fn a_compensation_that_fails_or_is_taken_again_changes_nothing() {
    let world = Sagas::new("1h").await;
    for step in ["void", "release", "cancel"] {
        for fault in FAULTS {
            let order = world.ordered("tok_visa", 2).await;
            let what = format!("{step} {:?}", fault());
            world.faults.set(&order.order_id, step, fault());
            cancel_at_the_pivot(&world, &order).await;
            world.ended(&order.order_id).await;
            let events = ["order.placed", "order.cancelled"];
            assert_ended(&world, &order, &what, OrderState::Cancelled, PaymentState::Voided, STOCK, &events).await;
            let times = if matches!(fault(), Fault::After(_)) { 3 } else { 1 };
            assert_eq!(taken(&world, &order.order_id, step), times, "{what}: the fault was there");
        }
    }
}

#[tokio::test]
async fn a_step_of_the_return_that_fails_or_is_taken_again_changes_nothing() {
    let world = Sagas::new("1h").await;
    for step in ["refund", "take_back"] {
        for fault in FAULTS {
            let order = world.ordered("tok_visa", 2).await;
            let what = format!("{step} {:?}", fault());
            ship(&world, &order).await;
            world.send_back(&order, "r").await.unwrap();
            let workflow = format!("{}/return", order.order_id);
            world.faults.set(&workflow, step, fault());
            world.start_return(&order).await;
            world.ended(&workflow).await;
            let events = ["order.placed", "order.confirmed", "order.shipped", "order.returned"];
            assert_ended(&world, &order, &what, OrderState::Returned, PaymentState::Refunded, STOCK - 2, &events).await;
            let times = if matches!(fault(), Fault::After(_)) { 3 } else { 1 };
            assert_eq!(taken(&world, &workflow, step), times, "{what}: the fault was there");
        }
    }
}

#[tokio::test]
async fn a_saga_from_before_versions_were_kept_goes_on_as_it_began() {
    let world = Sagas::new("1h").await;
    for fault in FAULTS {
        let order = world.ordered("tok_visa", 2).await;
        world.faults.set(&order.order_id, "confirm", fault());
        world.start_version(&order, 0).await;
        world.ended(&order.order_id).await;
        let events = ["order.placed", "order.confirmed", "order.shipped"];
        assert_ended(&world, &order, "version 0", OrderState::Shipped, PaymentState::Captured, STOCK - 2, &events).await;
        let times = if matches!(fault(), Fault::After(_)) { 3 } else { 1 };
        assert_eq!(taken(&world, &order.order_id, "confirm"), times, "it has a step more");
    }
}

#[tokio::test]
async fn a_cancel_after_the_pivot_is_refused_and_a_return_does_it() {
    let world = Sagas::new("1h").await;
    let order = world.ordered("tok_visa", 2).await;
    let gate = super::shapes::held(&world, &order, "capture");
    world.start(&order).await;
    gate.reached().await;
    let refused = world.cancel(&order, "c").await.unwrap_err();
    assert_eq!(refused.reason, "ORDER_TOO_LATE_TO_CANCEL");
    let refused = world.send_back(&order, "r").await.unwrap_err();
    assert_eq!(refused.reason, "ORDER_NOT_SHIPPED");
    gate.open();
    world.ended(&order.order_id).await;
    assert_eq!(world.cancel(&order, "c").await.unwrap_err().reason, "ORDER_TOO_LATE_TO_CANCEL");
    let asked = world.send_back(&order, "r").await.unwrap();
    assert_eq!((asked.state(), asked.return_requested), (OrderState::Shipped, true));
    let workflow = world.start_return(&order).await;
    world.ended(&workflow).await;
    assert_eq!(world.now(&order).await.state(), OrderState::Returned);
    assert_eq!(world.send_back(&order, "r").await.unwrap(), asked, "a repeat gets the first answer");
    assert_eq!(world.send_back(&order, "r2").await.unwrap().state(), OrderState::Returned, "what is returned needs no return");
}

/// A worker died after it had taken the first steps and before Temporal heard of them; when they are taken again, the shopper has cancelled.
#[tokio::test]
async fn what_a_lost_first_try_held_is_given_back() {
    let world = Sagas::new("1h").await;
    let order = world.ordered("tok_visa", 3).await;
    world.hold(&order).await;
    assert_eq!((world.payment(&order).await, world.in_stock(&order).await), (Some(PaymentState::Authorized), STOCK - 3));
    world.cancel(&order, "k1").await.unwrap();
    world.start(&order).await;
    world.ended(&order.order_id).await;
    let (state, payment) = (OrderState::Cancelled, PaymentState::Voided);
    assert_ended(&world, &order, "held before", state, payment, STOCK, &["order.placed", "order.cancelled"]).await;
}

/// A saga that cannot go on here gives up its place, and begins anew when the home is back.
#[tokio::test]
async fn a_saga_whose_home_went_to_the_other_region_ends_and_begins_anew_when_it_is_back() {
    let world = Sagas::new("1h").await;
    let order = world.ordered("tok_visa", 2).await;
    let gate = super::shapes::held(&world, &order, "ship");
    world.start(&order).await;
    let pool = world.orders.pool();
    sqlx::query("INSERT INTO sagas (order_id) SELECT order_id FROM orders").execute(&pool).await.unwrap();
    gate.reached().await;
    world.move_home(Region::Us, 1).await;
    gate.open();
    assert!(!world.is_completed(&order.order_id).await, "the other region ships it");
    assert_eq!(world.now(&order).await.state(), OrderState::Placed);
    world.move_home(Region::Eu, 2).await;
    let of_before = "SELECT count(*) FROM sagas, region.homes WHERE home = 'eu' AND sagas.epoch < homes.epoch";
    let noted: i64 = sqlx::query_scalar(of_before).fetch_one(&pool).await.unwrap();
    assert_eq!(noted, 1, "the sweeper starts it again");
    world.start(&order).await;
    world.ended(&order.order_id).await;
    let events = ["order.placed", "order.confirmed", "order.shipped"];
    assert_ended(&world, &order, "home again", OrderState::Shipped, PaymentState::Captured, STOCK - 2, &events).await;
}
