//! A webhook is applied once, however often and in whatever order it comes.

use hmac::{Hmac, KeyInit as _, Mac as _};
use proto::payment::v1::PaymentState::{Captured, ChargedBack, Refunded};
use serde_json::{Value, json};
use sha2::Sha256;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{SECRET, World, new_order};

/// Sends a notice about `charge` as the provider does, signed `age` seconds ago.
async fn tell(world: &World, id: Uuid, charge: &Value, age: i64) -> u16 {
    let body = json!({ "id": format!("evt_{}", id.simple()), "type": "charge.told", "created": 0, "charge": charge }).to_string();
    let at = OffsetDateTime::now_utc().unix_timestamp() - age;
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
    mac.update(format!("{at}.{body}").as_bytes());
    let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let url = format!("{}/webhooks/psp", world.service.lock().await.address());
    let request = world.http.post(url).header("Psp-Signature", format!("t={at},v1={signature}")).body(body);
    request.send().await.expect("an answer").status().as_u16()
}

/// How often webhooks were noted as taken.
async fn noted(world: &World) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM inbox WHERE consumer = 'payment.webhooks'")
        .fetch_one(&world.pool())
        .await
        .expect("the inbox can be read")
}

#[tokio::test]
async fn a_repeat_is_thanked_for_and_an_old_one_is_refused() {
    let (world, order) = (World::new().await, new_order());
    world.authorize(&order, 1000, "tok_visa").await.unwrap();
    world.capture(&order).await.unwrap();
    let mut charge = world.charges(&order).await.remove(0);
    charge["refunds"] = json!([{ "id": "re_desk", "idempotency_key": "desk", "amount_minor": 400, "is_rest": false, "created": 5 }]);
    let id = Uuid::now_v7();
    assert_eq!(tell(&world, id, &charge, 301).await, 400, "a replay of an old one");
    assert_eq!(tell(&world, id, &charge, -301).await, 400, "one from the future");
    assert_eq!(noted(&world).await, 0);
    for _ in 0..3 {
        assert_eq!(tell(&world, id, &charge, 0).await, 200);
    }
    assert_eq!(noted(&world).await, 1);
    assert_eq!(world.balances().await, (600, -600));
    // The same notice with other content was signed by nobody but us; it is not looked at again.
    charge["refunds"][0]["amount_minor"] = json!(999);
    assert_eq!(tell(&world, id, &charge, 0).await, 200);
    assert_eq!(world.balances().await, (600, -600));
    assert_eq!(tell(&world, Uuid::now_v7(), &json!({ "id": "ch_1" }), 0).await, 400);
}

#[tokio::test]
async fn webhooks_in_reverse_come_to_the_same() {
    let world = World::new().await;
    for reverse in [false, true] {
        let order = new_order();
        let charge_id = world.authorize(&order, 1000, "tok_visa").await.unwrap().charge_id;
        let before = world.accounts().await;
        let mut told = vec![world.charges(&order).await.remove(0)];
        told[0]["state"] = json!("captured");
        told[0]["captured_at"] = json!(1_760_000_000_000_i64);
        for number in 1..=3 {
            let mut next = told[number - 1].clone();
            let mut refunds = next["refunds"].as_array().cloned().unwrap_or_default();
            let id = format!("re_{number}_{charge_id}");
            refunds.push(json!({ "id": id, "idempotency_key": id, "amount_minor": 200, "is_rest": false, "created": number }));
            next["refunds"] = refunds.into();
            told.push(next);
        }
        let mut last = told[3].clone();
        last["state"] = json!("charged_back");
        last["chargeback"] = json!({ "id": format!("cb_{charge_id}"), "amount_minor": 400, "created": 9 });
        told.push(last);
        if reverse {
            told.reverse();
        }
        for charge in &told {
            assert_eq!(tell(&world, Uuid::now_v7(), charge, 0).await, 200);
        }
        assert_eq!(world.payment(&order).await.unwrap().state(), ChargedBack);
        let after = world.accounts().await;
        for (account, change) in [("psp_receivable", 0), ("sales", -1000), ("refunds", 600), ("chargebacks", 400)] {
            assert_eq!(after[account] - before.get(account).copied().unwrap_or_default(), change, "{account}, reverse: {reverse}");
        }
    }
}

#[tokio::test]
async fn a_webhook_that_cannot_be_right_changes_nothing() {
    let (world, order) = (World::new().await, new_order());
    world.authorize(&order, 1000, "tok_visa").await.unwrap();
    world.capture(&order).await.unwrap();
    let sound = world.charges(&order).await.remove(0);
    let refund = |amount: i64| json!([{ "id": "re_x", "idempotency_key": "x", "amount_minor": amount, "is_rest": false, "created": 5 }]);
    for (field, value) in [
        ("state", json!("voided")),
        ("amount_minor", json!(1)),
        ("id", json!("ch_other")),
        ("refunds", refund(1001)),
        ("refunds", refund(-5)),
    ] {
        let mut charge = sound.clone();
        charge[field] = value;
        assert_eq!(tell(&world, Uuid::now_v7(), &charge, 0).await, 500, "{field}");
    }
    assert_eq!((noted(&world).await, world.balances().await), (0, (1000, -1000)));
    assert_eq!(world.payment(&order).await.unwrap().state(), Captured);
    assert_eq!(world.refund(&order).await.unwrap().state(), Refunded);
}
