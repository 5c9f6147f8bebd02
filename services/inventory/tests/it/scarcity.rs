//! STOCK-1 when many want the last units.

use futures::future::join_all;
use proto::inventory::v1::ReservationState::{Released, Reserved};

use super::{World, new_order, reason};

#[tokio::test]
async fn concurrent_reserves_of_scarce_stock_never_oversell() {
    let world = World::new().await;
    world.put("LAST-1", 20).await;
    let orders: Vec<String> = (0..64).map(|_| new_order()).collect();
    let answers = join_all(orders.iter().map(|order| world.reserve(order, &[("LAST-1", 1)]))).await;
    let (served, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((served.len(), refused.len()), (20, 44));
    for refusal in refused {
        assert_eq!(reason(refusal), "INVENTORY_OUT_OF_STOCK");
    }
    assert_eq!(world.in_stock("LAST-1").await, 0);
    world.assert_stock_is_conserved().await;
}

#[tokio::test]
async fn an_order_gets_all_its_lines_or_none() {
    let world = World::new().await;
    world.put("PLENTY", 10).await;
    world.put("SCARCE", 1).await;
    let answer = world.reserve(&new_order(), &[("PLENTY", 2), ("SCARCE", 2)]).await;
    assert_eq!(reason(answer), "INVENTORY_OUT_OF_STOCK");
    assert_eq!((world.in_stock("PLENTY").await, world.in_stock("SCARCE").await), (10, 1));
}

#[tokio::test]
async fn orders_that_name_the_same_items_in_another_order_do_not_block_one_another() {
    let world = World::new().await;
    for sku in ["A", "B", "C"] {
        world.put(sku, 100).await;
    }
    let orders: Vec<String> = (0..48).map(|_| new_order()).collect();
    let calls = orders.iter().enumerate().map(|(number, order)| {
        let lines = if number.is_multiple_of(2) { [("A", 1), ("B", 1), ("C", 1)] } else { [("C", 1), ("B", 1), ("A", 1)] };
        let world = &world;
        async move { world.reserve(order, &lines).await }
    });
    for answer in join_all(calls).await {
        answer.unwrap();
    }
    assert_eq!(world.in_stock("B").await, 52);
    world.assert_stock_is_conserved().await;
}

#[tokio::test]
async fn released_units_can_be_had_again() {
    let world = World::new().await;
    world.put("LAST-1", 1).await;
    let (first, second, third) = (new_order(), new_order(), new_order());
    world.reserve(&first, &[("LAST-1", 1)]).await.unwrap();
    assert_eq!(reason(world.reserve(&second, &[("LAST-1", 1)]).await), "INVENTORY_OUT_OF_STOCK");
    world.release(&first).await.unwrap();
    world.reserve(&third, &[("LAST-1", 1)]).await.unwrap();
    world.assert_stock_is_conserved().await;
}

#[tokio::test]
async fn a_refusal_is_final_for_its_order_also_when_units_come_back() {
    let world = World::new().await;
    world.put("MUG-1", 1).await;
    let (first, second) = (new_order(), new_order());
    assert_eq!(world.reserve(&first, &[("MUG-1", 1)]).await, Ok(Reserved));
    for _ in 0..2 {
        assert_eq!(reason(world.reserve(&second, &[("MUG-1", 1)]).await), "INVENTORY_OUT_OF_STOCK");
    }
    world.release(&first).await.unwrap();
    assert_eq!(reason(world.reserve(&second, &[("MUG-1", 1)]).await), "INVENTORY_OUT_OF_STOCK");
    assert_eq!(world.release(&second).await, Ok(Released), "a repeat of the undoing is no error");
    assert_eq!(world.events_of(&second).await, ["inventory.released"]);
    assert_eq!(world.in_stock("MUG-1").await, 1);
    let third = new_order();
    assert_eq!(reason(world.reserve(&third, &[("NO-SUCH", 1)]).await), "INVENTORY_UNKNOWN_SKU");
    assert_eq!(reason(world.reserve(&third, &[("NO-SUCH", 1)]).await), "INVENTORY_UNKNOWN_SKU");
    world.assert_stock_is_conserved().await;
}
