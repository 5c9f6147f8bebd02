//! A market of one region, in most tests without Kafka: orders, inventory, payment, the payment provider and Temporal, all real.

use std::{path::Path, time::Duration};

use ids::OrderId;
use proto::{
    inventory::v1::{GetItemRequest, Item, PutItemRequest, ReserveRequest, inventory_service_client::InventoryServiceClient},
    market::v1::{Line, Money, PricedLine},
    order::v1::{CancelOrderRequest, Order, OrderState, ReturnOrderRequest},
    payment::v1::{AuthorizeRequest, GetPaymentRequest, PaymentState, VoidRequest, payment_service_client::PaymentServiceClient},
};
use rpc::{Client, Failure};
use testkit::{Running, Temporal, eventually};

use super::{World, placed, request};

const SECRET: &str = "0123456789abcdef";
/// What every item has at first.
pub(crate) const STOCK: i64 = 10;

/// The services around the orders.
pub(crate) struct Market {
    pub(crate) orders: World,
    pub(crate) temporal: Temporal,
    inventory: Running,
    payment: Running,
    _psp: Running,
}

impl Market {
    /// `step_up` is how long a shopper takes to answer the bank.
    pub(crate) async fn new(step_up: &str) -> Self {
        Self::started(step_up, true, "saga", &testkit::nowhere()).await
    }

    /// The same with an order service that does not find Temporal: the test runs the sagas itself.
    pub(crate) async fn without_sagas(step_up: &str) -> Self {
        Self::started(step_up, false, "saga", &testkit::nowhere()).await
    }

    /// A market whose orders come to their end by `checkout`, which is no saga.
    pub(crate) async fn checked_out_by(checkout: &str, kafka: &str) -> Self {
        // Who votes does not wait for a person, and must find that one has not answered; events go on when one has.
        let step_up = if checkout == "two-phase" { "1h" } else { "10ms" };
        Self::started(step_up, false, checkout, kafka).await
    }

    async fn started(step_up: &str, runs_sagas: bool, checkout: &str, kafka: &str) -> Self {
        let files = testkit::fresh_folder("psp");
        let files = files.to_str().expect("paths are text");
        let psp = [("DATA_DIR", files), ("PSP_WEBHOOK_SECRET", SECRET), ("PSP_STEP_UP_DELAY", step_up)];
        let psp = Running::start(&sibling("psp"), &psp).await;
        let postgres = testkit::postgres().await;
        let database = postgres.database("order").await;
        let (psp_address, nowhere) = (psp.address(), testkit::nowhere());
        let (stock, money) = (postgres.as_service("inventory", &database), postgres.as_service("payment", &database));
        let env = [("REGION", "eu"), ("DATABASE_URL", stock.expose()), ("KAFKA_BOOTSTRAP_SERVERS", kafka), ("CHECKOUT", checkout)];
        let inventory = Running::migrated(&sibling("inventory"), &env).await;
        let temporal = Temporal::start().await;
        // What a killed payment service leaves open only its workflows settle. A saga asks again by itself, and they are not the subject there.
        let settles = if checkout == "saga" { nowhere.clone() } else { temporal.address() };
        let env = [
            ("REGION", "eu"),
            ("DATABASE_URL", money.expose()),
            ("KAFKA_BOOTSTRAP_SERVERS", kafka),
            ("CHECKOUT", checkout),
            ("PSP_ADDR", &psp_address),
            ("TEMPORAL_ADDRESS", &settles),
            ("PSP_WEBHOOK_SECRET", SECRET),
        ];
        let payment = Running::migrated(&sibling("payment"), &env).await;
        let (inventory_address, payment_address) = (inventory.address(), payment.address());
        let temporal_address = if runs_sagas { temporal.address() } else { nowhere };
        let more = [
            ("KAFKA_BOOTSTRAP_SERVERS", kafka),
            ("CHECKOUT", checkout),
            ("TEMPORAL_ADDRESS", temporal_address.as_str()),
            ("INVENTORY_ADDR", &inventory_address),
            ("PAYMENT_ADDR", &payment_address),
        ];
        let orders = World::with(database, &more).await;
        Self { orders, temporal, inventory, payment, _psp: psp }
    }

    pub(crate) fn inventory_address(&self) -> String {
        self.inventory.address()
    }

    pub(crate) fn payment_address(&self) -> String {
        self.payment.address()
    }

    pub(crate) fn inventory(&self) -> InventoryServiceClient<Client> {
        InventoryServiceClient::new(rpc::channel(self.inventory.address().parse().expect("an address")))
    }

    fn payments(&self) -> PaymentServiceClient<Client> {
        PaymentServiceClient::new(rpc::channel(self.payment.address().parse().expect("an address")))
    }

    /// A new item, and an order for some of it.
    pub(crate) async fn ordered(&self, token: &str, quantity: u32) -> Order {
        let sku = format!("S{}", uuid::Uuid::now_v7().simple()).to_uppercase();
        let price = Some(Money { amount_minor: 1250, currency: "EUR".to_owned() });
        let (title, description, category) = ("Item".to_owned(), "For a test".to_owned(), "test".to_owned());
        let item = Item { sku: sku.clone(), title: title.clone(), description, category, price: price.clone(), in_stock: 0 };
        let put = PutItemRequest { item: Some(item), initial_stock: STOCK, idempotency_key: sku.clone() };
        self.inventory().put_item(put).await.expect("a sound item");
        let mut request = request("s1", &sku);
        request.lines = vec![PricedLine { sku, quantity, title, unit_price: price }];
        request.payment_token = token.to_owned();
        placed(self.orders.place(request).await.expect("a sound order"))
    }

    /// The order as it is now.
    pub(crate) async fn now(&self, order: &Order) -> Order {
        self.orders.get(&order.order_id).await.expect("an order stays")
    }

    /// Waits until the order has come to its end.
    pub(crate) async fn ends(&self, order: &Order) -> Order {
        eventually("the order ends", Duration::from_secs(60), async || {
            let now = self.now(order).await;
            if [OrderState::Shipped, OrderState::Cancelled].contains(&now.state()) { Ok(now) } else { Err(format!("{now:?}")) }
        })
        .await
    }

    pub(crate) async fn cancel(&self, order: &Order, key: &str) -> Result<Order, Failure> {
        let (order_id, session_id) = (order.order_id.clone(), "s1".to_owned());
        let request = CancelOrderRequest { order_id, session_id, idempotency_key: format!("{key}-{}", order.order_id) };
        let answer = self.orders.client().cancel_order(request).await.map_err(Failure::from)?;
        Ok(answer.into_inner().order.expect("an answer has an order"))
    }

    pub(crate) async fn send_back(&self, order: &Order, key: &str) -> Result<Order, Failure> {
        let (order_id, session_id) = (order.order_id.clone(), "s1".to_owned());
        let request = ReturnOrderRequest { order_id, session_id, idempotency_key: format!("{key}-{}", order.order_id) };
        let answer = self.orders.client().return_order(request).await.map_err(Failure::from)?;
        Ok(answer.into_inner().order.expect("an answer has an order"))
    }

    /// Reserves and authorizes, as the order's saga does.
    pub(crate) async fn hold(&self, order: &Order) {
        let id: OrderId = order.order_id.parse().expect("an order's id");
        let lines = order.lines.iter().map(|line| Line { sku: line.sku.clone(), quantity: line.quantity }).collect();
        let reserve =
            ReserveRequest { order_id: id.to_string(), lines, idempotency_key: id.step_key("reserve"), ..ReserveRequest::default() };
        self.inventory().reserve(reserve).await.expect("there is enough");
        let authorize = AuthorizeRequest {
            order_id: id.to_string(),
            amount: order.total.clone(),
            payment_token: "tok_visa".to_owned(),
            idempotency_key: id.step_key("authorize"),
            ..AuthorizeRequest::default()
        };
        self.payments().authorize(authorize).await.expect("the card is good");
    }

    /// Voids the payment behind the saga's back.
    pub(crate) async fn void(&self, order: &Order) {
        let request = VoidRequest { order_id: order.order_id.clone(), idempotency_key: "stranger".to_owned(), ..VoidRequest::default() };
        self.payments().void(request).await.expect("nothing is taken yet");
    }

    /// Where the payment stands; nothing when the provider was never asked for one.
    pub(crate) async fn payment(&self, order: &Order) -> Option<PaymentState> {
        let request = GetPaymentRequest { order_id: order.order_id.clone() };
        let payment = self.payments().get_payment(request).await.ok()?.into_inner().payment?;
        (!payment.charge_id.is_empty()).then(|| payment.state())
    }

    /// `kill -9` of orders, inventory and payment, and a new start of each.
    pub(crate) async fn kill_and_restart_all(&mut self) {
        for service in [&mut self.orders.service, &mut self.inventory, &mut self.payment] {
            service.kill_and_restart().await;
        }
    }

    /// What can be sold of the order's item.
    pub(crate) async fn in_stock(&self, order: &Order) -> i64 {
        let sku = order.lines[0].sku.clone();
        let answer = self.inventory().get_item(GetItemRequest { sku }).await;
        answer.expect("the item is there").into_inner().item.expect("an answer has an item").in_stock
    }

    /// Types of the order's events, in order.
    pub(crate) async fn events(&self, order: &Order) -> Vec<String> {
        let events = self.orders.outbox().await;
        events.into_iter().filter(|(_, key)| *key == order.order_id).map(|(kind, _)| kind).collect()
    }
}

/// Another service's binary, built together with this one's.
fn sibling(name: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_order")).with_file_name(name);
    assert!(program.exists(), "{} is not built; run `cargo build --release --workspace` first", program.display());
    program.to_str().expect("paths are text").to_owned()
}
