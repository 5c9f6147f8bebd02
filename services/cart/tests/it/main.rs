//! The cart service as a process, on a real PostgreSQL, through its gRPC API. Kafka is there for those tests that hear
//! something, NATS for none.

mod lines;
mod orders;
mod refusals;
mod regions;

use std::collections::BTreeMap;

use config::Secret;
use proto::{
    cart::v1::{AbsorbCartRequest, Cart, GetCartRequest, RemoveLineRequest, SetLineRequest, cart_service_client::CartServiceClient},
    market::v1::Line,
};
use rpc::{Client, Failure};
use sqlx::PgPool;
use testkit::Running;
use tokio::sync::Mutex;

/// A running cart service with its database.
struct World {
    service: Mutex<Running>,
    database: Secret,
    client: CartServiceClient<Client>,
}

impl World {
    async fn new() -> Self {
        Self::with_kafka(&testkit::nowhere()).await
    }

    async fn with_kafka(kafka: &str) -> Self {
        Self::in_region("eu", kafka, &[]).await
    }

    /// In a region that knows the other by these settings.
    async fn in_region(region: &str, kafka: &str, peer: &[(&str, &str)]) -> Self {
        let database = testkit::postgres().await.database("cart").await;
        let nats = format!("nats://{}", testkit::nowhere());
        let own = [("REGION", region), ("DATABASE_URL", database.expose()), ("KAFKA_BOOTSTRAP_SERVERS", kafka), ("NATS_URL", &nats)];
        let env: Vec<_> = own.into_iter().chain(peer.iter().copied()).collect();
        Self::over(Running::migrated(env!("CARGO_BIN_EXE_cart"), &env).await, database)
    }

    /// Another process on the database of this one, cut off from both Kafkas.
    async fn cut_off(&self, region: &str) -> Self {
        let nowhere = testkit::nowhere();
        let nats = format!("nats://{nowhere}");
        let env =
            [("REGION", region), ("DATABASE_URL", self.database.expose()), ("KAFKA_BOOTSTRAP_SERVERS", &nowhere), ("NATS_URL", &nats)];
        Self::over(Running::start(env!("CARGO_BIN_EXE_cart"), &env).await, self.database.clone())
    }

    fn over(service: Running, database: Secret) -> Self {
        let client = CartServiceClient::new(rpc::channel(service.address().parse().expect("an address")));
        Self { service: Mutex::new(service), database, client }
    }

    fn pool(&self) -> PgPool {
        store::connect(&self.database, 2).expect("a database URL")
    }

    async fn get(&self, cart_id: &str) -> Cart {
        let response = self.client.clone().get_cart(GetCartRequest { cart_id: cart_id.to_owned() }).await.expect("the cart is read");
        response.into_inner().cart.expect("an answer has a cart")
    }

    async fn set(&self, cart_id: &str, sku: &str, quantity: u32, key: &str) -> Result<Cart, Failure> {
        let line = Some(Line { sku: sku.to_owned(), quantity });
        let request = SetLineRequest { cart_id: cart_id.to_owned(), line, idempotency_key: key.to_owned() };
        let response = self.client.clone().set_line(request).await.map_err(Failure::from)?;
        Ok(response.into_inner().cart.expect("an answer has a cart"))
    }

    async fn remove(&self, cart_id: &str, sku: &str, key: &str) -> Result<Cart, Failure> {
        let request = RemoveLineRequest { cart_id: cart_id.to_owned(), sku: sku.to_owned(), idempotency_key: key.to_owned() };
        let response = self.client.clone().remove_line(request).await.map_err(Failure::from)?;
        Ok(response.into_inner().cart.expect("an answer has a cart"))
    }

    async fn absorb(&self, cart_id: &str, from: &str, key: &str) -> Result<Cart, Failure> {
        let request = AbsorbCartRequest { cart_id: cart_id.to_owned(), from_cart_id: from.to_owned(), idempotency_key: key.to_owned() };
        let response = self.client.clone().absorb_cart(request).await.map_err(Failure::from)?;
        Ok(response.into_inner().cart.expect("an answer has a cart"))
    }

    /// How often an order has left this cart.
    async fn check_outs(&self, cart_id: &str) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM outbox WHERE key = $1 AND type = 'cart.checked_out'")
            .bind(cart_id)
            .fetch_one(&self.pool())
            .await
            .expect("the outbox can be read")
    }
}

fn lines(cart: &Cart) -> BTreeMap<&str, u32> {
    cart.lines.iter().map(|line| (line.sku.as_str(), line.quantity)).collect()
}
