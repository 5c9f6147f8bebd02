//! Requests that cannot be met, and the catalog's own rules.

use proto::inventory::v1::{ListItemsRequest, PutItemRequest};
use rpc::Failure;

use super::{World, item, new_order, reason};

#[tokio::test]
async fn a_malformed_reserve_is_refused_and_leaves_nothing() {
    let world = World::new().await;
    world.put("MUG-1", 10).await;
    let order = new_order();
    let malformed: [&[(&str, u32)]; 5] = [&[], &[("MUG-1", 0)], &[("MUG-1", 1000)], &[("MUG-1", 1), ("MUG-1", 1)], &[("mug 1", 1)]];
    for lines in malformed {
        assert_eq!(reason(world.reserve(&order, lines).await), "INVENTORY_INVALID_REQUEST", "{lines:?}");
    }
    assert_eq!(reason(world.reserve("no-uuid", &[("MUG-1", 1)]).await), "INVENTORY_INVALID_REQUEST");
    // None of these has used up the order's one reservation.
    world.reserve(&order, &[("MUG-1", 1)]).await.unwrap();
}

#[tokio::test]
async fn putting_an_item_again_changes_its_text_and_never_its_stock() {
    let world = World::new().await;
    world.put("MUG-1", 10).await;
    world.put("MUG-1", 99).await;
    assert_eq!(world.in_stock("MUG-1").await, 10);
    assert_eq!(world.events_of("MUG-1").await, ["inventory.item"], "the same again says nothing new");
    let mut changed = item("MUG-1");
    changed.title = "A better mug".to_owned();
    let request = PutItemRequest { item: Some(changed), initial_stock: 5, idempotency_key: "again".to_owned() };
    assert!(!world.client.clone().put_item(request).await.unwrap().into_inner().created);
    assert_eq!(world.events_of("MUG-1").await, ["inventory.item", "inventory.item"]);
    assert_eq!(world.in_stock("MUG-1").await, 10);
}

#[tokio::test]
async fn pages_hold_every_item_once() {
    let world = World::new().await;
    for number in 0..7 {
        world.put(&format!("P-{number}"), 1).await;
    }
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListItemsRequest { page_size: 3, page_token };
        let page = world.client.clone().list_items(request).await.unwrap().into_inner();
        assert!(page.items.len() <= 3);
        seen.extend(page.items.into_iter().map(|item| item.sku));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, (0..7).map(|number| format!("P-{number}")).collect::<Vec<_>>());

    let request = ListItemsRequest { page_size: 3, page_token: "no token".to_owned() };
    let refused = Failure::from(world.client.clone().list_items(request).await.unwrap_err());
    assert_eq!(refused.reason, "INVENTORY_INVALID_PAGE_TOKEN");
}
