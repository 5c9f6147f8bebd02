//! The order service as a process, on a real PostgreSQL, through its gRPC API.
//!
//! NATS and in most tests Kafka and Temporal are left out: an order is accepted without them.

mod checkout;
mod durability;
mod events;
mod market;
mod placing;
mod refusals;
mod regions;
mod running;
mod saga;
mod wishes;

use config::Secret;
use proto::{
    market::v1::{Address, Money, PricedLine},
    order::v1::{GetOrderRequest, Order, PlaceOrderRequest, PlaceOrderResponse, order_service_client::OrderServiceClient},
};
use rpc::{Client, Failure};
use sqlx::PgPool;
use testkit::Running;

/// A running order service with its database.
struct World {
    service: Running,
    database: Secret,
}

impl World {
    async fn new() -> Self {
        Self::with_kafka(&testkit::nowhere()).await
    }

    async fn with_kafka(kafka: &str) -> Self {
        let database = testkit::postgres().await.database("order").await;
        Self::with(database, &[("KAFKA_BOOTSTRAP_SERVERS", kafka)]).await
    }

    /// On this database, with these settings in place of engines that are not there.
    async fn with(database: Secret, settings: &[(&str, &str)]) -> Self {
        let nowhere = testkit::nowhere();
        let nats = format!("nats://{nowhere}");
        let absent = [("KAFKA_BOOTSTRAP_SERVERS", nowhere.as_str()), ("TEMPORAL_ADDRESS", &nowhere), ("NATS_URL", &nats)];
        let mut env = vec![("REGION", "eu"), ("DATABASE_URL", database.expose())];
        env.extend(absent.into_iter().chain(settings.iter().copied()));
        Self { service: Running::migrated(env!("CARGO_BIN_EXE_order"), &env).await, database }
    }

    fn client(&self) -> OrderServiceClient<Client> {
        OrderServiceClient::new(rpc::channel(self.service.address().parse().expect("an address")))
    }

    fn pool(&self) -> PgPool {
        store::connect(&self.database, 2).expect("a database URL")
    }

    async fn place(&self, request: PlaceOrderRequest) -> Result<PlaceOrderResponse, Failure> {
        self.client().place_order(request).await.map(tonic::Response::into_inner).map_err(Failure::from)
    }

    async fn get(&self, order_id: &str) -> Result<Order, Failure> {
        let request = GetOrderRequest { order_id: order_id.to_owned() };
        let response = self.client().get_order(request).await.map_err(Failure::from)?;
        Ok(response.into_inner().order.expect("an answer has an order"))
    }

    /// Types of the events in the outbox, in order.
    async fn outbox(&self) -> Vec<(String, String)> {
        sqlx::query_as("SELECT type, key FROM outbox ORDER BY id").fetch_all(&self.pool()).await.expect("the outbox can be read")
    }
}

fn line(sku: &str, quantity: u32) -> PricedLine {
    let unit_price = Some(Money { amount_minor: 1250, currency: "EUR".to_owned() });
    PricedLine { sku: sku.to_owned(), quantity, title: format!("Item {sku}"), unit_price }
}

/// A sound order of `session` under `key`.
fn request(session: &str, key: &str) -> PlaceOrderRequest {
    PlaceOrderRequest {
        session_id: session.to_owned(),
        lines: vec![line("MUG-1", 2), line("POT-7", 1)],
        payment_token: "tok_visa".to_owned(),
        address: Some(Address {
            name: "Ada Lovelace".to_owned(),
            line1: "12 St James's Square".to_owned(),
            city: "London".to_owned(),
            country: "GB".to_owned(),
            postal_code: "SW1Y 4JH".to_owned(),
        }),
        idempotency_key: key.to_owned(),
        lines_from_cart: false,
    }
}

fn placed(response: PlaceOrderResponse) -> Order {
    response.order.expect("an answer has an order")
}
