//! A reservation's way, with every step repeated and out of turn.

use futures::future::join_all;
use proto::inventory::v1::ReservationState::{Committed, Released, Reserved};

use super::{World, new_order, reason};

#[tokio::test]
async fn a_repeated_reserve_holds_the_units_once() {
    let world = World::new().await;
    world.put("MUG-1", 10).await;
    let order = new_order();
    let lines = [("MUG-1", 3)];
    let answers = join_all((0..16).map(|_| world.reserve(&order, &lines))).await;
    for answer in answers {
        assert_eq!(answer.unwrap(), Reserved);
    }
    assert_eq!(world.in_stock("MUG-1").await, 7);
    assert_eq!(world.events_of(&order).await, ["inventory.reserved"]);
    world.assert_stock_is_conserved().await;
}

#[tokio::test]
async fn a_repeat_with_other_lines_is_refused() {
    let world = World::new().await;
    world.put("MUG-1", 10).await;
    let order = new_order();
    world.reserve(&order, &[("MUG-1", 3)]).await.unwrap();
    assert_eq!(reason(world.reserve(&order, &[("MUG-1", 4)]).await), "INVENTORY_RESERVATION_DIFFERS");
    assert_eq!(world.in_stock("MUG-1").await, 7);
}

#[tokio::test]
async fn a_release_that_comes_before_its_reserve_wins() {
    let world = World::new().await;
    world.put("MUG-1", 10).await;
    let order = new_order();
    assert_eq!(world.release(&order).await.unwrap(), Released);
    assert_eq!(reason(world.reserve(&order, &[("MUG-1", 3)]).await), "INVENTORY_RESERVATION_RELEASED");
    assert_eq!(world.in_stock("MUG-1").await, 10);
}

#[tokio::test]
async fn a_release_that_races_its_reserve_leaves_nothing_held() {
    let world = World::new().await;
    world.put("MUG-1", 100).await;
    let orders: Vec<String> = (0..24).map(|_| new_order()).collect();
    let lines = [("MUG-1", 1)];
    join_all(orders.iter().map(|order| async {
        // The reserve may win the race or be refused; either way the release comes to its end.
        let (_, released) = tokio::join!(world.reserve(order, &lines), world.release(order));
        assert_eq!(released.unwrap(), Released);
    }))
    .await;
    assert_eq!(world.in_stock("MUG-1").await, 100);
    world.assert_stock_is_conserved().await;
}

#[tokio::test]
async fn a_sale_is_final() {
    let world = World::new().await;
    world.put("MUG-1", 10).await;
    let order = new_order();
    world.reserve(&order, &[("MUG-1", 3)]).await.unwrap();
    for _ in 0..2 {
        assert_eq!(world.commit(&order).await.unwrap(), Committed);
    }
    assert_eq!(reason(world.release(&order).await), "INVENTORY_RESERVATION_COMMITTED");
    assert_eq!(world.in_stock("MUG-1").await, 7);
    assert_eq!(world.events_of(&order).await, ["inventory.reserved", "inventory.committed"]);
    world.assert_stock_is_conserved().await;
}

#[tokio::test]
async fn what_was_released_cannot_be_sold() {
    let world = World::new().await;
    world.put("MUG-1", 10).await;
    let order = new_order();
    world.reserve(&order, &[("MUG-1", 3)]).await.unwrap();
    for _ in 0..2 {
        assert_eq!(world.release(&order).await.unwrap(), Released);
    }
    assert_eq!(reason(world.commit(&order).await), "INVENTORY_RESERVATION_RELEASED");
    assert_eq!(world.events_of(&order).await, ["inventory.reserved", "inventory.released"]);
}

#[tokio::test]
async fn what_was_never_reserved_cannot_be_sold() {
    let world = World::new().await;
    assert_eq!(reason(world.commit(&new_order()).await), "INVENTORY_RESERVATION_NOT_FOUND");
}
