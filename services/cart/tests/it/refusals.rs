//! Changes that are refused leave the cart as it was.

use super::World;

#[tokio::test]
async fn what_cannot_be_a_line_is_refused() {
    let world = World::new().await;
    let before = world.set("s1", "MUG-1", 2, "k1").await.unwrap();
    for (cart, sku, quantity, reason) in [
        ("s1", "MUG-1", 0, "CART_INVALID_QUANTITY"),
        ("s1", "MUG-1", 1000, "CART_INVALID_QUANTITY"),
        ("s1", "MUG-1", u32::MAX, "CART_INVALID_QUANTITY"),
        ("s1", "mug 1", 1, "CART_INVALID_REQUEST"),
        ("", "MUG-1", 1, "CART_INVALID_REQUEST"),
        ("s/1", "MUG-1", 1, "CART_INVALID_REQUEST"),
    ] {
        let refused = world.set(cart, sku, quantity, "k2").await.unwrap_err();
        assert_eq!(refused.reason, reason, "{cart} {sku} {quantity}");
    }
    assert_eq!(world.get("s1").await, before);
    // A refused change does not use up its key.
    world.set("s1", "MUG-1", 3, "k2").await.unwrap();
}

#[tokio::test]
async fn another_change_under_a_used_key_is_refused() {
    let world = World::new().await;
    world.set("s1", "MUG-1", 2, "k1").await.unwrap();
    assert_eq!(world.set("s1", "MUG-1", 3, "k1").await.unwrap_err().reason, "CART_KEY_REUSED");
    assert_eq!(world.remove("s1", "MUG-1", "k1").await.unwrap_err().reason, "CART_KEY_REUSED");
    world.set("s2", "MUG-1", 3, "k1").await.unwrap();
}

#[tokio::test]
async fn a_full_cart_takes_no_more_lines() {
    let world = World::new().await;
    for number in 0..100 {
        world.set("s1", &format!("P-{number}"), 1, &format!("k{number}")).await.unwrap();
    }
    assert_eq!(world.set("s1", "ONE-MORE", 1, "more").await.unwrap_err().reason, "CART_FULL");
    world.set("s1", "P-0", 2, "again").await.unwrap();
}
