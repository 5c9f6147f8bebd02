//! Two regions: what is mirrored, who may write, and what becomes of what a region wrote when its home was no longer its own.

use std::time::Duration;

use config::Secret;
use ids::Region;
use proto::order::v1::{CancelOrderRequest, Order};
use rpc::Failure;
use sqlx::{AssertSqlSafe, PgConnection};
use testkit::{Postgres, eventually};

use super::{World, placed, request};

/// Both regions' order services, each with its database, and a superuser's connection to each.
struct Regions {
    eu: World,
    us: World,
    eu_database: PgConnection,
    us_database: PgConnection,
}

const MIRRORED: [&str; 3] = ["orders", "order_lines", "idempotency_keys"];

impl Regions {
    async fn new() -> Self {
        let postgres = testkit::postgres().await;
        let start = async |region: Region| {
            let database = postgres.database_in(region, "order").await;
            World::with(database, &[("REGION", region.as_str())]).await
        };
        let (eu, us) = tokio::join!(start(Region::Eu), start(Region::Us));
        postgres.mirror(&eu.database, &us.database).await;
        let (eu_database, us_database) = (superuser(postgres, &eu.database).await, superuser(postgres, &us.database).await);
        Self { eu, us, eu_database, us_database }
    }

    /// Takes eu's home over in us, and lets nothing of eu in.
    async fn take_over(&mut self) {
        run(&mut self.us_database, "SELECT region.listen_to('eu', false)").await;
        run(&mut self.us_database, "SELECT region.set_home('eu', 'us', 1, 1000000)").await;
    }

    /// Both regions' rows, as text, of a mirrored table.
    async fn rows(&mut self, table: &str) -> [Vec<String>; 2] {
        let sql = format!("SELECT t::text FROM \"order\".{table} AS t ORDER BY 1");
        let mut rows = [Vec::new(), Vec::new()];
        for (rows, database) in rows.iter_mut().zip([&mut self.eu_database, &mut self.us_database]) {
            *rows = sqlx::query_scalar(AssertSqlSafe(sql.clone())).fetch_all(database).await.expect("the table can be read");
        }
        rows
    }

    async fn become_the_same(&mut self) {
        for table in MIRRORED {
            eventually(&format!("both regions have the same {table}"), Duration::from_secs(20), async || {
                let [eu, us] = self.rows(table).await;
                if eu == us { Ok(()) } else { Err(format!("eu: {eu:#?}\nus: {us:#?}")) }
            })
            .await;
        }
    }
}

async fn superuser(postgres: &Postgres, database: &Secret) -> PgConnection {
    postgres.superuser(database).await
}

async fn run(database: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(database).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn count(database: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(database).await.expect("it can be counted")
}

async fn cancel(world: &World, order: &Order) -> Result<Order, Failure> {
    let (order_id, session_id) = (order.order_id.clone(), "ada".to_owned());
    let request = CancelOrderRequest { order_id, session_id, idempotency_key: format!("cancel-{}", order.order_id) };
    world
        .client()
        .cancel_order(request)
        .await
        .map_err(Failure::from)
        .map(|answer| answer.into_inner().order.expect("an answer has an order"))
}

async fn arrives(world: &World, order: &Order) {
    eventually("the order is in the other region", Duration::from_secs(20), async || {
        world.get(&order.order_id).await.map(drop).map_err(|failure| format!("{failure:?}"))
    })
    .await;
}

#[tokio::test]
async fn an_order_and_its_key_are_known_in_both_regions_and_one_writes() {
    let mut regions = Regions::new().await;
    let order = placed(regions.eu.place(request("ada", "k1")).await.unwrap());
    arrives(&regions.us, &order).await;
    let repeated = regions.us.place(request("ada", "k1")).await.unwrap();
    assert!(repeated.replayed);
    assert_eq!(placed(repeated), order, "the key is answered with the order of the other region");
    assert_eq!(cancel(&regions.us, &order).await.unwrap_err().reason, "ORDER_OTHER_REGION");
    let other = placed(regions.us.place(request("ada", "k2")).await.unwrap());
    arrives(&regions.eu, &other).await;
    assert!(cancel(&regions.eu, &order).await.unwrap().cancel_requested);
    regions.become_the_same().await;
    assert_eq!(count(&mut regions.us_database, "SELECT count(*) FROM region.refused").await, 0);
}

#[tokio::test]
async fn a_region_whose_time_is_up_writes_nothing() {
    let mut regions = Regions::new().await;
    let order = placed(regions.eu.place(request("ada", "k1")).await.unwrap());
    run(&mut regions.eu_database, "SELECT region.set_home('eu', 'eu', 0, 0)").await;
    for failure in [regions.eu.place(request("ada", "k2")).await.unwrap_err(), cancel(&regions.eu, &order).await.unwrap_err()] {
        assert_eq!(failure.reason, "REGION_FENCED");
    }
    assert_eq!(regions.eu.get(&order.order_id).await.unwrap(), order, "reading goes on");
    run(&mut regions.eu_database, "SELECT region.set_home('eu', 'eu', 0, 100000)").await;
    regions.eu.place(request("ada", "k2")).await.unwrap();
}

#[tokio::test]
async fn what_a_region_wrote_unheard_is_undone_when_it_comes_back() {
    let mut regions = Regions::new().await;
    let both = placed(regions.eu.place(request("ada", "both")).await.unwrap());
    let one = placed(regions.eu.place(request("ada", "one")).await.unwrap());
    arrives(&regions.us, &one).await;
    // Cut off, and not knowing it yet: eu cancels both and takes a new order, under a key that is then sent to us too.
    run(&mut regions.us_database, "SELECT region.listen_to('eu', false)").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    for order in [&both, &one] {
        cancel(&regions.eu, order).await.unwrap();
    }
    let unheard = placed(regions.eu.place(request("ada", "again")).await.unwrap());
    let forgotten = placed(regions.eu.place(request("ada", "forgotten")).await.unwrap());
    run(&mut regions.eu_database, "SELECT region.set_home('eu', 'eu', 0, 0)").await;
    regions.take_over().await;
    assert!(cancel(&regions.us, &both).await.unwrap().cancel_requested, "us holds the order's home now");
    let again = placed(regions.us.place(request("ada", "again")).await.unwrap());
    assert_ne!(again.order_id, unheard.order_id);

    // eu is told, and both hear each other again.
    run(&mut regions.eu_database, "SELECT region.set_home('eu', 'us', 1, 0)").await;
    assert_eq!(cancel(&regions.eu, &both).await.unwrap_err().reason, "REGION_FENCED", "what it remembers may be undone");
    assert_eq!(regions.eu.place(request("ada", "new")).await.unwrap_err().reason, "REGION_FENCED");
    run(&mut regions.us_database, "SELECT region.listen_to('eu', true)").await;
    eventually("what eu wrote is refused", Duration::from_secs(20), async || {
        let refused = count(&mut regions.us_database, "SELECT count(DISTINCT pk) FROM region.refused").await;
        // Two cancels, two orders with two lines each, and the four keys.
        if refused == 2 + 2 + 4 + 4 { Ok(()) } else { Err(refused.to_string()) }
    })
    .await;
    run(&mut regions.us_database, "SELECT region.heal()").await;
    regions.become_the_same().await;
    for gone in [&unheard, &forgotten] {
        assert_eq!(regions.eu.get(&gone.order_id).await.unwrap_err().reason, "ORDER_NOT_FOUND");
    }
    assert!(!regions.eu.get(&one.order_id).await.unwrap().cancel_requested, "nobody was told that it was cancelled");
    assert!(regions.eu.get(&both.order_id).await.unwrap().cancel_requested);

    // eu takes its home back.
    run(&mut regions.us_database, "SELECT region.set_home('eu', 'eu', 2, 0)").await;
    run(&mut regions.eu_database, "SELECT region.set_home('eu', 'eu', 2, 1000000)").await;
    assert_eq!(regions.eu.place(request("ada", "again")).await.unwrap().order.unwrap().order_id, again.order_id);
    cancel(&regions.eu, &one).await.unwrap();
    regions.eu.place(request("ada", "new")).await.unwrap();
    regions.become_the_same().await;
    assert_eq!(count(&mut regions.us_database, "SELECT count(*) FROM region.refused WHERE seen_to_at IS NULL").await, 0);
}
