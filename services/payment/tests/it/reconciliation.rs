//! PAY-2: the ledger agrees with the provider's own list, and what it missed is found.

use proto::payment::v1::{
    DifferenceKind::{MissingAtPsp, MissingInLedger},
    GetReconciliationRequest,
    PaymentState::{Authorized, Captured},
};
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::{World, new_order, text};

#[tokio::test]
async fn a_quiet_day_agrees_and_today_is_not_settled() {
    let world = World::new().await;
    for amount in [1000, 500] {
        let order = new_order();
        world.authorize(&order, amount, "tok_visa").await.unwrap();
        world.capture(&order).await.unwrap();
        world.refund_part(&order, "r1", Some(100)).await.unwrap();
    }
    let run = world.reconcile("").await;
    assert_eq!((run.movements, run.differences.len(), run.settled), (4, 0, false));
    let total = &run.totals[0];
    assert_eq!((total.at_psp.as_ref().unwrap().amount_minor, total.in_ledger.as_ref().unwrap().amount_minor), (1300, 1300));
    let newest = world.client.clone().get_reconciliation(GetReconciliationRequest::default()).await.unwrap().into_inner();
    assert_eq!(newest.reconciliation, Some(run.clone()));
    let other_day = GetReconciliationRequest { day: "2020-01-01".to_owned() };
    assert_eq!(world.client.clone().get_reconciliation(other_day).await.unwrap().into_inner().reconciliation, None);
    for bad in ["tomorrow", "2026-13-01", "9999-01-01", "2026-1-1"] {
        let request = GetReconciliationRequest { day: bad.to_owned() };
        assert_eq!(world.client.clone().get_reconciliation(request).await.unwrap_err().code(), tonic::Code::InvalidArgument, "{bad}");
    }
}

#[tokio::test]
async fn a_capture_whose_answer_nobody_heard_is_found_and_made_good() {
    let (world, order) = (World::new().await, new_order());
    world.authorize(&order, 1250, "tok_visa").await.unwrap();
    world.set(json!({ "cut_after_rate": 1.0 })).await;
    world.capture(&order).await.unwrap_err();
    world.set(json!({ "cut_after_rate": 0.0 })).await;
    assert_eq!(world.payment(&order).await.unwrap().state(), Authorized, "nobody knows yet");
    let run = world.reconcile("").await;
    assert_eq!(run.differences.len(), 1);
    let difference = &run.differences[0];
    assert_eq!((difference.kind(), difference.order_id.as_str(), difference.resolved), (MissingInLedger, order.as_str(), true));
    assert_eq!(world.payment(&order).await.unwrap().state(), Captured);
    assert_eq!(world.balances().await, (1250, -1250));
    assert_eq!(world.reconcile("").await.differences, []);
}

#[tokio::test]
async fn what_only_one_side_has_stays_a_difference() {
    let (world, order) = (World::new().await, new_order());
    world.authorize(&order, 1000, "tok_visa").await.unwrap();
    world.capture(&order).await.unwrap();
    // Somebody charges a card for our account without an order of ours, and somebody enters a refund that was never made.
    let body = json!({ "order_id": "stranger", "account": "eu", "amount_minor": 77, "currency": "EUR", "payment_token": "tok_visa" });
    let made = world.http.post(format!("{}/v1/charges", world.psp_address)).header("idempotency-key", "stranger").json(&body);
    let made: serde_json::Value = serde_json::from_str(&made.send().await.unwrap().text().await.unwrap()).unwrap();
    world.at_provider(made["id"].as_str().unwrap(), "capture").await;
    sqlx::query(
        "INSERT INTO ledger_entries (order_id, cause, source_id, account, amount_minor, currency, occurred_at)
         SELECT order_id, 'refund', 're_never', account, amount, 'EUR', now()
         FROM payments, (VALUES ('psp_receivable', -5), ('refunds', 5)) AS entry (account, amount)",
    )
    .execute(&world.pool())
    .await
    .unwrap();
    for _ in 0..2 {
        let run = world.reconcile("").await;
        let found: Vec<_> = run.differences.iter().map(|difference| (difference.kind(), difference.resolved)).collect();
        assert_eq!(found, [(MissingInLedger, false), (MissingAtPsp, false)]);
        assert_eq!(
            (run.totals[0].at_psp.as_ref().unwrap().amount_minor, run.totals[0].in_ledger.as_ref().unwrap().amount_minor),
            (1077, 995)
        );
    }
}

#[tokio::test]
async fn the_other_regions_charges_are_not_ours_to_explain() {
    let world = World::new().await;
    let body = json!({ "order_id": new_order(), "account": "us", "amount_minor": 77, "currency": "EUR", "payment_token": "tok_visa" });
    let made = world.http.post(format!("{}/v1/charges", world.psp_address)).header("idempotency-key", "us").json(&body);
    let made: serde_json::Value = serde_json::from_str(&made.send().await.unwrap().text().await.unwrap()).unwrap();
    world.at_provider(made["id"].as_str().unwrap(), "capture").await;
    let run = world.reconcile("").await;
    assert_eq!((run.movements, run.differences.len()), (0, 0));
}

/// A provider's store in which `order_id` was captured the day before today.
fn captured_yesterday(folder: &std::path::Path, order_id: &str) {
    let charges: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("charges");
    let keys: redb::TableDefinition<'_, &str, &str> = redb::TableDefinition::new("keys");
    let yesterday = (OffsetDateTime::now_utc() - Duration::days(1)).unix_timestamp() * 1000;
    let charge = json!({
        "id": "ch_1", "order_id": order_id, "account": "eu", "state": "captured", "amount_minor": 1250, "currency": "EUR",
        "idempotency_key": format!("{order_id}/authorize"),
    });
    let row = json!({ "charge": charge, "token": "tok_visa", "webhook_url": null, "created": yesterday, "traceparent": null });
    let database = redb::Database::create(folder.join("charges.redb")).expect("a new store");
    let transaction = database.begin_write().expect("a new store");
    transaction.open_table(charges).expect("a new store").insert("ch_1", row.to_string().as_bytes()).expect("a new store");
    transaction.open_table(keys).expect("a new store").insert(format!("{order_id}/authorize").as_str(), "ch_1").expect("a new store");
    transaction.commit().expect("a new store");
}

#[tokio::test]
async fn a_day_that_is_over_and_agrees_is_settled_once() {
    let (folder, order) = (testkit::fresh_folder("psp"), new_order());
    std::fs::create_dir_all(text(&folder)).unwrap();
    captured_yesterday(&folder, &order);
    let world = World::in_folder(&folder, "1s").await;
    // This service asked yesterday, and died before it heard the answer.
    sqlx::query(
        "INSERT INTO payments (order_id, state, amount_minor, currency, payment_token, version) VALUES ($1::uuid, 'pending', 1250, 'EUR', 'tok_visa', 1)",
    )
    .bind(&order)
    .execute(&world.pool())
    .await
    .unwrap();
    let yesterday = (OffsetDateTime::now_utc() - Duration::days(1)).date();
    for is_first in [true, false] {
        let run = world.reconcile(&yesterday.to_string()).await;
        assert_eq!((run.movements, run.differences.len()), (1, usize::from(is_first)));
        let is_just_over = OffsetDateTime::now_utc().time() < time::macros::time!(0:06);
        assert_eq!(run.settled, !is_just_over);
        if run.settled {
            let accounts = world.accounts().await;
            assert_eq!((accounts["psp_receivable"], accounts["bank"], accounts["sales"]), (0, 1250, -1250), "booked once");
        }
    }
}
