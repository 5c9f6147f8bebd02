//! The payment service as a process, with the real provider simulator and a real PostgreSQL, through its gRPC API.

mod accidents;
mod durability;
mod following;
mod homes;
mod ledger;
mod payments;
mod reconciliation;
mod refunds;
mod refusals;
mod step_up;
mod webhooks;
mod workflow;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use config::Secret;
use proto::{
    market::v1::Money,
    payment::v1::{
        AuthorizeRequest, CaptureRequest, GetBalancesRequest, GetPaymentRequest, Payment, PaymentState, ReconcileDayRequest,
        Reconciliation, RefundRequest, VoidRequest, payment_service_client::PaymentServiceClient,
    },
};
use rpc::{Client, Failure};
use serde_json::Value;
use sqlx::PgPool;
use testkit::{Running, eventually};
use tokio::sync::Mutex;

const SECRET: &str = "0123456789abcdef";

type Answer = Result<Payment, Failure>;

/// A payment service with its provider and its database.
struct World {
    service: Mutex<Running>,
    psp: Mutex<Running>,
    psp_address: String,
    database: Secret,
    client: PaymentServiceClient<Client>,
    http: reqwest::Client,
}

impl World {
    async fn new() -> Self {
        Self::with_step_up_delay("100ms").await
    }

    async fn with_step_up_delay(delay: &str) -> Self {
        Self::in_folder(&testkit::fresh_folder("psp"), delay).await
    }

    /// A provider that has `files` already.
    async fn in_folder(files: &Path, delay: &str) -> Self {
        // What a call leaves open stays open: nobody but the test goes on with it.
        Self::with(files, delay, &[("TEMPORAL_ADDRESS", &testkit::nowhere())]).await
    }

    /// A service that has these settings too.
    async fn with(files: &Path, delay: &str, more: &[(&str, &str)]) -> Self {
        let env = [("DATA_DIR", text(files)), ("PSP_WEBHOOK_SECRET", SECRET), ("PSP_STEP_UP_DELAY", delay)];
        let psp = Running::start(text(&sibling("psp")), &env).await;
        let database = testkit::postgres().await.database("payment").await;
        let (psp_address, kafka) = (psp.address(), testkit::nowhere());
        let env = [
            ("REGION", "eu"),
            ("DATABASE_URL", database.expose()),
            ("KAFKA_BOOTSTRAP_SERVERS", &kafka),
            ("PSP_ADDR", &psp_address),
            ("PSP_WEBHOOK_SECRET", SECRET),
        ];
        let env: Vec<_> = env.iter().chain(more).copied().collect();
        let service = Running::migrated(env!("CARGO_BIN_EXE_payment"), &env).await;
        let client = PaymentServiceClient::new(rpc::channel(service.address().parse().expect("an address")));
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { service: Mutex::new(service), psp: Mutex::new(psp), psp_address, database, client, http }
    }

    fn pool(&self) -> PgPool {
        store::connect(&self.database, 2).expect("a database URL")
    }

    async fn authorize(&self, order_id: &str, amount_minor: i64, token: &str) -> Answer {
        let request = AuthorizeRequest {
            order_id: order_id.to_owned(),
            amount: Some(Money { amount_minor, currency: "EUR".to_owned() }),
            payment_token: token.to_owned(),
            idempotency_key: format!("{order_id}/authorize"),
            ..AuthorizeRequest::default()
        };
        let response = self.client.clone().authorize(request).await.map_err(Failure::from)?;
        Ok(response.into_inner().payment.expect("an answer has a payment"))
    }

    async fn capture(&self, order_id: &str) -> Answer {
        let request = CaptureRequest { order_id: order_id.to_owned(), idempotency_key: format!("{order_id}/capture") };
        let response = self.client.clone().capture(request).await.map_err(Failure::from)?;
        Ok(response.into_inner().payment.expect("an answer has a payment"))
    }

    /// Nothing when the order never had a payment.
    async fn void(&self, order_id: &str) -> Result<Option<Payment>, Failure> {
        let request = VoidRequest { order_id: order_id.to_owned(), idempotency_key: format!("{order_id}/void"), ..VoidRequest::default() };
        Ok(self.client.clone().void(request).await.map_err(Failure::from)?.into_inner().payment)
    }

    /// All that is left.
    async fn refund(&self, order_id: &str) -> Answer {
        self.refund_part(order_id, "refund", None).await
    }

    async fn refund_part(&self, order_id: &str, name: &str, amount_minor: Option<i64>) -> Answer {
        let amount = amount_minor.map(|amount_minor| Money { amount_minor, currency: "EUR".to_owned() });
        let request = RefundRequest { order_id: order_id.to_owned(), idempotency_key: format!("{order_id}/{name}"), amount };
        let response = self.client.clone().refund(request).await.map_err(Failure::from)?;
        Ok(response.into_inner().payment.expect("an answer has a payment"))
    }

    async fn payment(&self, order_id: &str) -> Answer {
        let response = self.client.clone().get_payment(GetPaymentRequest { order_id: order_id.to_owned() }).await.map_err(Failure::from)?;
        Ok(response.into_inner().payment.expect("an answer has a payment"))
    }

    /// Compares a day, today when empty.
    async fn reconcile(&self, day: &str) -> Reconciliation {
        let response = self.client.clone().reconcile_day(ReconcileDayRequest { day: day.to_owned() }).await.expect("a run");
        response.into_inner().reconciliation.expect("an answer has a run")
    }

    /// Changes how the provider behaves.
    async fn set(&self, changes: Value) {
        let request = self.http.patch(format!("{}/v1/behavior", self.psp_address)).json(&changes);
        let status = request.send().await.expect("the provider answers").status();
        assert!(status.is_success(), "{changes}: {status}");
    }

    /// Does something to a charge at the provider, past this service.
    async fn at_provider(&self, charge_id: &str, command: &str) {
        let url = format!("{}/v1/charges/{charge_id}/{command}", self.psp_address);
        let request = self.http.post(url).header("idempotency-key", format!("desk/{command}/{charge_id}"));
        let status = request.send().await.expect("the provider answers").status();
        assert!(status.is_success(), "{command}: {status}");
    }

    /// Waits until the payment stands there.
    async fn comes_to(&self, order_id: &str, state: PaymentState) -> Payment {
        eventually("the payment changes", Duration::from_secs(20), async || match self.payment(order_id).await {
            Ok(payment) if payment.state() == state => Ok(payment),
            other => Err(format!("{other:?}")),
        })
        .await
    }

    /// Every charge that the provider lists for an order.
    async fn charges(&self, order_id: &str) -> Vec<Value> {
        let url = format!("{}/v1/charges?order_id={order_id}", self.psp_address);
        let text = self.http.get(url).send().await.expect("the provider answers").text().await.expect("a body");
        let list: Value = serde_json::from_str(&text).expect("JSON");
        list["charges"].as_array().expect("a list").clone()
    }

    /// Types of the events about an order, in order.
    async fn events_of(&self, order_id: &str) -> Vec<String> {
        sqlx::query_scalar("SELECT type FROM outbox WHERE key = $1 ORDER BY id")
            .bind(order_id)
            .fetch_all(&self.pool())
            .await
            .expect("the outbox can be read")
    }

    /// The ledger's accounts, which add up to nothing (PAY-2).
    async fn accounts(&self) -> BTreeMap<String, i64> {
        let response = self.client.clone().get_balances(GetBalancesRequest {}).await.expect("balances").into_inner();
        let accounts: BTreeMap<_, _> =
            response.balances.into_iter().map(|row| (row.account, row.balance.expect("an amount").amount_minor)).collect();
        assert_eq!(accounts.values().sum::<i64>(), 0, "{accounts:?}");
        accounts
    }

    /// What the provider owes us, and what we kept of our sales.
    async fn balances(&self) -> (i64, i64) {
        let accounts = self.accounts().await;
        let of = |name: &str| accounts.get(name).copied().unwrap_or_default();
        (of("psp_receivable"), of("sales") + of("refunds") + of("chargebacks"))
    }
}

/// Another service's binary, built together with this one's.
fn sibling(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_payment")).with_file_name(name);
    assert!(program.exists(), "{} is not built; run `cargo build --release --workspace` first", program.display());
    program
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths are text")
}

fn new_order() -> String {
    uuid::Uuid::now_v7().to_string()
}
