//! Payments in two regions: the other one goes on with what it took over, at the same provider's account, and nothing is taken twice.

use std::time::Duration;

use ids::Region;
use proto::payment::v1::{CaptureRequest, GetPaymentRequest, Payment, PaymentState, payment_service_client::PaymentServiceClient};
use rpc::Failure;
use sqlx::{AssertSqlSafe, PgConnection};
use testkit::{Running, eventually};
use uuid::Uuid;

use super::{SECRET, World};

/// A world of region eu, and the payment service of region us at the same provider.
struct Regions {
    eu: World,
    us: Running,
    eu_database: PgConnection,
    us_database: PgConnection,
}

impl Regions {
    async fn new() -> Self {
        let eu = World::new().await;
        let postgres = testkit::postgres().await;
        let (database, nowhere) = (postgres.database_in(Region::Us, "payment").await, testkit::nowhere());
        let env = [
            ("REGION", "us"),
            ("DATABASE_URL", database.expose()),
            ("KAFKA_BOOTSTRAP_SERVERS", &nowhere),
            ("TEMPORAL_ADDRESS", &nowhere),
            ("PSP_ADDR", &eu.psp_address),
            ("PSP_WEBHOOK_SECRET", SECRET),
        ];
        let us = Running::migrated(env!("CARGO_BIN_EXE_payment"), &env).await;
        postgres.mirror(&eu.database, &database).await;
        let (eu_database, us_database) = (postgres.superuser(&eu.database).await, postgres.superuser(&database).await);
        Self { eu, us, eu_database, us_database }
    }

    fn us(&self) -> PaymentServiceClient<rpc::Client> {
        PaymentServiceClient::new(rpc::channel(self.us.address().parse().expect("an address")))
    }

    async fn arrives(&self, order_id: &str, state: PaymentState) -> Payment {
        eventually("the payment is in the other region", Duration::from_secs(20), async || {
            let answer = self.us().get_payment(GetPaymentRequest { order_id: order_id.to_owned() }).await.map_err(Failure::from);
            let payment = answer.map(|answer| answer.into_inner().payment.expect("an answer has a payment"));
            payment.as_ref().ok().filter(|payment| payment.state() == state).cloned().ok_or_else(|| format!("{payment:?}"))
        })
        .await
    }

    async fn capture_in_us(&self, order_id: &str) -> Result<Payment, Failure> {
        let request = CaptureRequest { order_id: order_id.to_owned(), idempotency_key: format!("{order_id}/capture") };
        let answer = self.us().capture(request).await.map_err(Failure::from)?;
        Ok(answer.into_inner().payment.expect("an answer has a payment"))
    }

    /// How often the provider took the order's amount for the accounts of eu and us.
    async fn captures(&self, order_id: &str) -> [usize; 2] {
        let mut captures = [0, 0];
        for (captures, home) in captures.iter_mut().zip(Region::ALL) {
            let url = format!("{}/v1/transactions?account={home}", self.eu.psp_address);
            let text = self.eu.http.get(url).send().await.expect("the provider answers").text().await.expect("a body");
            let list: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            let is_ours = |moved: &&serde_json::Value| moved["order_id"] == order_id && moved["kind"] == "capture";
            *captures = list["transactions"].as_array().expect("a list").iter().filter(is_ours).count();
        }
        captures
    }

    async fn become_the_same(&mut self) {
        for table in ["payments", "refunds", "ledger_entries"] {
            let sql = format!("SELECT t::text FROM payment.{table} AS t ORDER BY 1");
            eventually(&format!("both regions have the same {table}"), Duration::from_secs(20), async || {
                let mut rows: [Vec<String>; 2] = Default::default();
                for (rows, database) in rows.iter_mut().zip([&mut self.eu_database, &mut self.us_database]) {
                    *rows = sqlx::query_scalar(AssertSqlSafe(sql.clone())).fetch_all(database).await.expect("the table can be read");
                }
                let [eu, us] = rows;
                if eu == us && !eu.is_empty() | (table == "refunds") { Ok(()) } else { Err(format!("eu: {eu:#?}\nus: {us:#?}")) }
            })
            .await;
        }
    }
}

async fn run(database: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(database).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[tokio::test]
async fn what_was_held_in_one_region_is_taken_in_the_other_and_once() {
    let mut regions = Regions::new().await;
    let order = Uuid::now_v7().to_string();
    regions.eu.authorize(&order, 2500, "tok_visa").await.expect("the card is good");
    regions.arrives(&order, PaymentState::Authorized).await;
    let refused = regions.capture_in_us(&order).await.expect_err("us does not hold the home");
    assert_eq!(refused.reason, "REGION_FENCED");

    // eu captures, and us never hears of it before it takes over.
    run(&mut regions.us_database, "SELECT region.listen_to('eu', false)").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    regions.eu.capture(&order).await.expect("it is held");
    run(&mut regions.eu_database, "SELECT region.set_home('eu', 'us', 1, 0)").await;
    run(&mut regions.us_database, "SELECT region.set_home('eu', 'us', 1, 1000000)").await;
    assert_eq!(regions.eu.refund(&order).await.expect_err("its time is up").reason, "REGION_FENCED");
    assert_eq!(regions.capture_in_us(&order).await.expect("it is held").state(), PaymentState::Captured);

    // eu is back: what it had entered unheard is what us entered.
    run(&mut regions.us_database, "SELECT region.listen_to('eu', true)").await;
    eventually("what eu wrote is refused", Duration::from_secs(20), async || {
        let refused: i64 = sqlx::query_scalar("SELECT count(DISTINCT tbl) FROM region.refused")
            .fetch_one(&mut regions.us_database)
            .await
            .expect("a count");
        if refused == 2 { Ok(()) } else { Err(refused.to_string()) }
    })
    .await;
    run(&mut regions.us_database, "SELECT region.heal()").await;
    regions.become_the_same().await;
    assert_eq!(regions.eu.charges(&order).await.len(), 1);
    assert_eq!(regions.captures(&order).await, [1, 0]);

    // eu takes its home back, and its ledger is its account at the provider.
    run(&mut regions.us_database, "SELECT region.set_home('eu', 'eu', 2, 0)").await;
    run(&mut regions.eu_database, "SELECT region.set_home('eu', 'eu', 2, 1000000)").await;
    assert!(regions.eu.reconcile("").await.differences.is_empty());
    assert_eq!(regions.eu.refund(&order).await.expect("it was captured").state(), PaymentState::Refunded);
    regions.become_the_same().await;
    assert!(regions.eu.accounts().await.values().sum::<i64>() == 0);
}

#[tokio::test]
async fn a_payment_of_an_adopted_order_is_credited_to_the_orders_home() {
    let mut regions = Regions::new().await;
    run(&mut regions.us_database, "SELECT region.set_home('eu', 'us', 1, 1000000)").await;
    let order = Uuid::now_v7().to_string();
    let request = proto::payment::v1::AuthorizeRequest {
        order_id: order.clone(),
        amount: Some(proto::market::v1::Money { amount_minor: 900, currency: "EUR".to_owned() }),
        payment_token: "tok_visa".to_owned(),
        idempotency_key: format!("{order}/authorize"),
        home_region: proto::market::v1::Region::Eu.into(),
    };
    regions.us().authorize(request).await.expect("the card is good");
    regions.capture_in_us(&order).await.expect("it is held");
    assert_eq!(regions.captures(&order).await, [1, 0]);
    regions.become_the_same().await;
}
