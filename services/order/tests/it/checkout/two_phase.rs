//! Two-phase commit: all or nothing, and what is in doubt when the coordinator dies is decided when it is back.

use std::time::Duration;

use proto::{
    checkout::v1::{DecideRequest, PrepareRequest, participant_service_client::ParticipantServiceClient},
    inventory::v1::ReserveRequest,
    market::v1::Line,
    order::v1::Order,
};
use rpc::Failure;
use testkit::eventually;

use crate::market::{Market, STOCK};

async fn market() -> Market {
    Market::checked_out_by("two-phase", &testkit::nowhere()).await
}

impl Market {
    /// Names of the transactions of the order that wait for a decision.
    async fn in_doubt(&self, order: &Order) -> Vec<String> {
        let sql = "SELECT split_part(gid, '/', 1) FROM pg_prepared_xacts WHERE split_part(gid, '/', 2) = $1 ORDER BY 1";
        sqlx::query_scalar(sql).bind(&order.order_id).fetch_all(&self.orders.pool()).await.expect("postgres tells")
    }

    async fn eventually_in_doubt(&self, order: &Order, expected: &[&str]) {
        eventually(&format!("{expected:?} wait for a decision"), Duration::from_secs(30), async || {
            let found = self.in_doubt(order).await;
            if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn an_order_ships_or_leaves_nothing_behind() {
    let market = market().await;
    let orders = [
        (market.ordered("tok_visa", 2).await, ""),
        (market.ordered("tok_decline", 2).await, "PAYMENT_DECLINED"),
        (market.ordered("tok_visa", u32::try_from(STOCK).unwrap() + 1).await, "INVENTORY_OUT_OF_STOCK"),
        // Prepared transactions do not wait for a person.
        (market.ordered("tok_3ds", 2).await, "PAYMENT_STEP_UP_TIMEOUT"),
    ];
    for (order, reason) in &orders {
        market.ends_well(order, reason).await;
        market.eventually_in_doubt(order, &[]).await;
    }
    assert_eq!(market.events(&orders[0].0).await, ["order.placed", "order.confirmed", "order.shipped"]);
    assert_eq!(market.events(&orders[1].0).await, ["order.placed", "order.cancelled"]);
}

#[tokio::test]
async fn when_the_coordinator_dies_between_the_phases_others_wait_until_it_is_back() {
    let mut market = market().await;
    let pool = market.orders.pool();
    // The decision is an update of the order's row.
    sqlx::raw_sql(
        "CREATE FUNCTION not_now() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(4); RAISE 'not now'; END $$;
         CREATE TRIGGER not_now BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION not_now()",
    )
    .execute(&pool)
    .await
    .unwrap();
    let order = market.ordered("tok_visa", 2).await;
    market.eventually_in_doubt(&order, &["inventory", "payment"]).await;
    market.orders.service.kill();
    sqlx::raw_sql("DROP TRIGGER not_now ON orders").execute(&pool).await.unwrap();

    // Another buyer of the same item waits for the row, and gives up.
    let line = Line { sku: order.lines[0].sku.clone(), quantity: 1 };
    let other = uuid::Uuid::now_v7().to_string();
    let idempotency_key = format!("{other}/reserve");
    let reserve = ReserveRequest { order_id: other.clone(), lines: vec![line], idempotency_key, ..ReserveRequest::default() };
    assert!(market.inventory().reserve(reserve.clone()).await.is_err(), "the row is locked");
    assert_eq!(market.in_doubt(&order).await, ["inventory", "payment"]);

    market.orders.service.kill_and_restart().await;
    market.ends_well(&order, "").await;
    market.eventually_in_doubt(&order, &[]).await;
    market.inventory().reserve(reserve).await.expect("the row is free");
}

#[tokio::test]
async fn late_votes_and_repeated_decisions_change_nothing() {
    let market = market().await;
    let order = market.ordered("tok_visa", 2).await;
    market.ends_well(&order, "").await;
    // A vote that comes late, on an order that has ended otherwise: nobody asked for it, and it must not stay.
    let cancelled = market.ordered("tok_decline", 3).await;
    market.ends_well(&cancelled, "PAYMENT_DECLINED").await;
    let prepare = PrepareRequest {
        order_id: cancelled.order_id.clone(),
        lines: vec![Line { sku: cancelled.lines[0].sku.clone(), quantity: 3 }],
        total: cancelled.total.clone(),
        payment_token: "tok_visa".to_owned(),
        ..PrepareRequest::default()
    };
    let mut stock = ParticipantServiceClient::new(rpc::channel(market.inventory_address().parse().unwrap()));
    let vote = async |stock: &mut ParticipantServiceClient<rpc::Client>| {
        stock.prepare(prepare.clone()).await.map_err(Failure::from).map(|answer| answer.into_inner().refusal)
    };
    assert_eq!(vote(&mut stock).await.unwrap(), "");
    assert_eq!(vote(&mut stock).await.unwrap(), "", "a repeat votes the same");
    market.eventually_in_doubt(&cancelled, &[]).await;
    assert_eq!(market.in_stock(&cancelled).await, STOCK);

    // A decision may come twice, or on what nobody prepared.
    for commit in [true, true, false] {
        stock.decide(DecideRequest { order_id: order.order_id.clone(), commit }).await.unwrap();
    }
    market.ends_well(&order, "").await;
}

#[tokio::test]
async fn a_cancel_before_the_decision_counts() {
    let market = market().await;
    let pool = market.orders.pool();
    sqlx::raw_sql(
        "CREATE FUNCTION not_now() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.course = 'passed' THEN PERFORM pg_sleep(1); RAISE 'not now'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER not_now BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION not_now()",
    )
    .execute(&pool)
    .await
    .unwrap();
    let order = market.ordered("tok_visa", 2).await;
    market.eventually_in_doubt(&order, &["inventory", "payment"]).await;
    assert!(market.cancel(&order, "c").await.unwrap().cancel_requested);
    sqlx::raw_sql("DROP TRIGGER not_now ON orders").execute(&pool).await.unwrap();
    market.ends_well(&order, "ORDER_CANCELLED_BY_SHOPPER").await;
    market.eventually_in_doubt(&order, &[]).await;
}
