//! The inventory service as a process, on a real PostgreSQL, through its gRPC API. Kafka is there for those tests that hear orders.

mod durability;
mod homes;
mod orders;
mod refusals;
mod regions;
mod reservations;
mod scarcity;

use config::Secret;
use ids::Region;
use proto::{
    inventory::v1::{
        CommitRequest, GetItemRequest, Item, PutItemRequest, ReleaseRequest, ReservationState, ReserveRequest,
        inventory_service_client::InventoryServiceClient,
    },
    market::v1::{self as market, Line, Money},
};
use rpc::{Client, Failure};
use sqlx::PgPool;
use testkit::Running;
use tokio::sync::Mutex;

type Answer = Result<ReservationState, Failure>;

/// A running inventory service with its database.
struct World {
    region: Region,
    service: Mutex<Running>,
    database: Secret,
    client: InventoryServiceClient<Client>,
}

impl World {
    async fn new() -> Self {
        Self::with_kafka(&testkit::nowhere()).await
    }

    async fn with_kafka(kafka: &str) -> Self {
        Self::in_region(Region::Eu, kafka, &[]).await
    }

    /// In a region that knows the other by these settings.
    async fn in_region(region: Region, kafka: &str, peer: &[(&str, &str)]) -> Self {
        let database = testkit::postgres().await.database_in(region, "inventory").await;
        let own = [("REGION", region.as_str()), ("DATABASE_URL", database.expose()), ("KAFKA_BOOTSTRAP_SERVERS", kafka)];
        let env: Vec<_> = own.into_iter().chain(peer.iter().copied()).collect();
        let service = Running::migrated(env!("CARGO_BIN_EXE_inventory"), &env).await;
        let client = InventoryServiceClient::new(rpc::channel(service.address().parse().expect("an address")));
        Self { region, service: Mutex::new(service), database, client }
    }

    fn pool(&self) -> PgPool {
        store::connect(&self.database, 2).expect("a database URL")
    }

    async fn put(&self, sku: &str, stock: i64) {
        let request = PutItemRequest { item: Some(item(sku)), initial_stock: stock, idempotency_key: format!("put/{sku}") };
        self.client.clone().put_item(request).await.expect("the item is put");
    }

    async fn in_stock(&self, sku: &str) -> i64 {
        let response = self.client.clone().get_item(GetItemRequest { sku: sku.to_owned() }).await.expect("the item is there");
        response.into_inner().item.expect("an answer has an item").in_stock
    }

    async fn reserve(&self, order_id: &str, lines: &[(&str, u32)]) -> Answer {
        self.reserve_of(None, order_id, lines).await
    }

    /// For an order of this home.
    async fn reserve_of(&self, home: Option<Region>, order_id: &str, lines: &[(&str, u32)]) -> Answer {
        let home_region = on_wire(home);
        let lines = lines.iter().map(|&(sku, quantity)| Line { sku: sku.to_owned(), quantity }).collect();
        let idempotency_key = format!("{order_id}/reserve");
        let request = ReserveRequest { order_id: order_id.to_owned(), lines, idempotency_key, home_region };
        let response = self.client.clone().reserve(request).await.map_err(Failure::from)?;
        Ok(response.into_inner().state())
    }

    async fn release(&self, order_id: &str) -> Answer {
        self.release_of(None, order_id).await
    }

    async fn release_of(&self, home: Option<Region>, order_id: &str) -> Answer {
        let (idempotency_key, home_region) = (format!("{order_id}/release"), on_wire(home));
        let request = ReleaseRequest { order_id: order_id.to_owned(), idempotency_key, home_region };
        let response = self.client.clone().release(request).await.map_err(Failure::from)?;
        Ok(response.into_inner().state())
    }

    async fn commit(&self, order_id: &str) -> Answer {
        let idempotency_key = format!("{order_id}/commit");
        let request = CommitRequest { order_id: order_id.to_owned(), idempotency_key, ..CommitRequest::default() };
        let response = self.client.clone().commit(request).await.map_err(Failure::from)?;
        Ok(response.into_inner().state())
    }

    /// Types of the events about an order, in order.
    async fn events_of(&self, order_id: &str) -> Vec<String> {
        sqlx::query_scalar("SELECT type FROM outbox WHERE key = $1 ORDER BY id")
            .bind(order_id)
            .fetch_all(&self.pool())
            .await
            .expect("the outbox can be read")
    }

    /// STOCK-1, looked at from outside: what the reservations say is what the stock says, and nothing is sold that was not stocked.
    async fn assert_stock_is_conserved(&self) {
        let broken: Vec<(String, String, i64, i64, i64, i64)> = sqlx::query_as(
            "SELECT s.home, s.sku, s.stocked, s.on_hand, s.reserved, s.sold FROM stock s
             LEFT JOIN (SELECT l.home, l.sku, coalesce(sum(quantity) FILTER (WHERE r.state = 'reserved'), 0) AS held,
                               coalesce(sum(quantity) FILTER (WHERE r.state = 'committed'), 0) AS gone
                        FROM reservation_lines l JOIN reservations r USING (order_id) GROUP BY l.home, l.sku) AS told USING (home, sku)
             LEFT JOIN (SELECT home, sku, sum(quantity) AS moved FROM rights_moved GROUP BY home, sku) AS came USING (home, sku)
             WHERE s.reserved <> coalesce(held, 0) OR s.sold <> coalesce(gone, 0) OR s.on_hand < 0
                OR s.on_hand + s.reserved + s.sold <> s.stocked OR s.moved <> coalesce(came.moved, 0)",
        )
        .fetch_all(&self.pool())
        .await
        .expect("the stock can be read");
        assert!(broken.is_empty(), "home, sku, stocked, on hand, reserved, sold: {broken:?}");
    }
}

fn item(sku: &str) -> Item {
    Item {
        sku: sku.to_owned(),
        title: format!("Item {sku}"),
        description: String::new(),
        category: "kitchen".to_owned(),
        price: Some(Money { amount_minor: 1250, currency: "EUR".to_owned() }),
        in_stock: 0,
    }
}

fn on_wire(home: Option<Region>) -> i32 {
    home.map_or(market::Region::Unspecified, market::Region::from).into()
}

fn new_order() -> String {
    uuid::Uuid::now_v7().to_string()
}

fn reason(answer: Answer) -> String {
    answer.expect_err("it is refused").reason
}
