//! PAY-2 needs them: the list names every charge that ever held money.

use psp::domain::Charge;

use super::{World, order};

#[tokio::test]
async fn an_order_lists_its_charges_oldest_first_without_declined_ones() {
    let world = World::with_delay("1h").await;
    let mut made: Vec<Charge> = Vec::new();
    for (key, token) in [("k1", "tok_visa"), ("k2", "tok_decline"), ("k3", "tok_3ds"), ("k4", "tok_mastercard")] {
        let (_, charge) = world.charge(key, &order("o 1/ß", token)).await;
        made.extend((token != "tok_decline").then_some(charge));
        world.charge(&format!("other-{key}"), &order("o 1/ß1", token)).await;
    }
    for size in ["", "&page_size=1", "&page_size=2"] {
        assert_eq!(world.list(&format!("order_id=o%201/%C3%9F{size}")).await, made);
    }
    assert!(world.list("order_id=o").await.is_empty(), "an order's name is not a prefix");
    assert!(world.list("order_id=").await.is_empty());
}

#[tokio::test]
async fn a_key_finds_its_charge_even_a_declined_one() {
    let world = World::new().await;
    for token in ["tok_visa", "tok_decline"] {
        let (_, charge) = world.charge(token, &order("o1", token)).await;
        assert_eq!(world.list(&format!("idempotency_key={token}")).await, [charge]);
    }
    assert!(world.list("idempotency_key=none").await.is_empty());
}

#[tokio::test]
async fn pages_show_every_charge_once_while_new_ones_come() {
    let world = World::new().await;
    let mut made = Vec::new();
    for key in 0..23 {
        made.push(world.charge(&format!("k{key}"), &order("o1", "tok_visa")).await.1);
    }
    world.charge("declined", &order("o1", "tok_decline")).await;
    made.reverse();
    assert_eq!(world.list("").await, made, "newest first");

    let first: serde_json::Value = world.get("/v1/charges?page_size=5").await.json().await.unwrap();
    world.charge("later", &order("o2", "tok_visa")).await;
    let token = first["next_page_token"].as_str().unwrap();
    let rest = world.list(&format!("page_size=1000&page_token={token}")).await;
    assert_eq!(rest, made[5..]);
}
