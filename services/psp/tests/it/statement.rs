//! PAY-2 needs it: a list of all that moved a merchant's balance.

use serde_json::{Value, json};

use super::{World, order};

#[tokio::test]
async fn every_movement_is_listed_once_and_survives_a_kill() {
    let mut world = World::new().await;
    let mut expected = Vec::new();
    for (number, account) in ["eu", "us", "eu"].into_iter().enumerate() {
        let mut body = order(&format!("o{number}"), "tok_visa");
        body["account"] = account.into();
        let (_, charge) = world.charge(&format!("k{number}"), &body).await;
        world.command(&charge.id, "capture").await;
        world.command(&charge.id, "capture").await;
        expected.push((account, "capture", charge.id.clone(), 1250));
        let (_, refunded) = world.refund(&charge.id, &format!("r{number}"), Some(250)).await;
        expected.push((account, "refund", refunded["refunds"][0]["id"].as_str().unwrap().to_owned(), -250));
        let (_, back) = world.command(&charge.id, "chargeback").await;
        expected.push((account, "chargeback", back["chargeback"]["id"].as_str().unwrap().to_owned(), -1000));
    }
    // Never captured, so of no account's balance.
    world.charge("held", &order("o9", "tok_visa")).await;
    for _ in 0..2 {
        let listed = world.movements("page_size=2").await;
        let seen: Vec<_> = listed
            .iter()
            .map(|row| {
                let text = |field: &str| row[field].as_str().unwrap();
                (text("account"), text("kind"), text("source_id").to_owned(), row["amount_minor"].as_i64().unwrap())
            })
            .collect();
        assert_eq!(seen, expected);
        assert_eq!(world.movements("account=us&page_size=1").await.len(), 3);
        world.service.kill_and_restart().await;
    }
}

#[tokio::test]
async fn a_day_is_listed_by_its_bounds() {
    let world = World::new().await;
    let (_, charge) = world.charge("k1", &order("o1", "tok_visa")).await;
    world.command(&charge.id, "capture").await;
    let row = &world.movements("").await[0];
    let created = row["created"].as_i64().unwrap();
    let of_order = json!({
        "id": "txn_1", "kind": "capture", "source_id": charge.id, "charge_id": charge.id, "order_id": "o1",
        "amount_minor": 1250, "currency": "EUR", "created": created
    });
    assert_eq!(*row, of_order);
    assert_eq!(world.charge_of(&charge.id).await.captured_at, Some(created));
    assert_eq!(world.movements(&format!("from={created}&to={}", created + 1)).await.len(), 1);
    for query in [format!("from={}", created + 1), format!("to={created}")] {
        assert_eq!(world.movements(&query).await, Vec::<Value>::new(), "{query}");
    }
}
