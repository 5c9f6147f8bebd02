//! Homes: who may write a home's stock, what a region sells that holds both, and what becomes of what was written unheard.

use std::time::Duration;

use ids::Region;
use prost::Message as _;
use proto::{
    events::order::v1::OrderShipped,
    inventory::v1::ReservationState::{Committed, Released, Reserved},
};
use sqlx::{AssertSqlSafe, PgConnection};
use store::outbox::Event;
use testkit::eventually;
use uuid::Uuid;

use super::{World, new_order, reason, regions::Regions};

const MIRRORED: [&str; 4] = ["stock", "reservations", "reservation_lines", "rights_moved"];
const EU: Option<Region> = Some(Region::Eu);
const SOON: Duration = Duration::from_secs(20);

/// Both regions without a spine, and a superuser's connection to each database.
struct Homes {
    eu: World,
    us: World,
    eu_database: PgConnection,
    us_database: PgConnection,
}

impl Homes {
    /// Homes that have so many units of MUG-1.
    async fn with(eu_stock: i64, us_stock: i64) -> Self {
        let (postgres, nowhere) = (testkit::postgres().await, testkit::nowhere());
        let start = async |region: Region| World::in_region(region, &nowhere, &[]).await;
        let (eu, us) = tokio::join!(start(Region::Eu), start(Region::Us));
        postgres.mirror(&eu.database, &us.database).await;
        eu.put("MUG-1", eu_stock).await;
        us.put("MUG-1", us_stock).await;
        let (eu_database, us_database) = (postgres.superuser(&eu.database).await, postgres.superuser(&us.database).await);
        let mut homes = Self { eu, us, eu_database, us_database };
        homes.become_the_same().await;
        homes
    }

    /// Takes eu's home over in us, and lets nothing of eu in.
    async fn take_over(&mut self) {
        run(&mut self.us_database, "SELECT region.listen_to('eu', false)").await;
        run(&mut self.us_database, "SELECT region.set_home('eu', 'us', 1, 1000000)").await;
    }

    async fn become_the_same(&mut self) {
        for table in MIRRORED {
            let sql = format!("SELECT t::text FROM inventory.{table} AS t ORDER BY 1");
            eventually(&format!("both regions have the same {table}"), SOON, async || {
                let mut rows = [Vec::<String>::new(), Vec::new()];
                for (rows, database) in rows.iter_mut().zip([&mut self.eu_database, &mut self.us_database]) {
                    *rows = sqlx::query_scalar(AssertSqlSafe(sql.clone())).fetch_all(database).await.expect("the table can be read");
                }
                let [eu, us] = rows;
                if eu == us { Ok(()) } else { Err(format!("eu: {eu:#?}\nus: {us:#?}")) }
            })
            .await;
        }
    }

    async fn assert_stock_is_conserved(&mut self, total: i64) {
        self.eu.assert_stock_is_conserved().await;
        self.us.assert_stock_is_conserved().await;
        for database in [&mut self.eu_database, &mut self.us_database] {
            assert_eq!(count(database, "SELECT sum(stocked)::bigint FROM inventory.stock").await, total);
            assert_eq!(count(database, "SELECT count(*) FROM inventory.rights_on_their_way").await, 0);
        }
    }
}

async fn run(database: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(database).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn count(database: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(database).await.expect("it can be counted")
}

#[tokio::test]
async fn a_reservation_of_a_home_is_committed_by_who_took_it_over() {
    let mut homes = Homes::with(10, 10).await;
    let (sold, given_back) = (new_order(), new_order());
    for order in [&sold, &given_back] {
        homes.eu.reserve(order, &[("MUG-1", 3)]).await.unwrap();
    }
    homes.become_the_same().await;
    assert_eq!(homes.us.in_stock("MUG-1").await, 14, "the shop shows what both have");
    for answer in [homes.us.commit(&sold).await, homes.us.release(&sold).await, homes.us.release_of(EU, &new_order()).await] {
        assert_eq!(reason(answer), "REGION_FENCED", "eu holds its home");
    }
    assert_eq!(reason(homes.us.reserve_of(EU, &new_order(), &[("MUG-1", 1)]).await), "REGION_FENCED");

    homes.take_over().await;
    assert_eq!(homes.us.commit(&sold).await, Ok(Committed));
    assert_eq!(homes.us.release(&given_back).await, Ok(Released), "it knows its home");
    let (eu, us) = (homes.us.stock_of(Region::Eu, "MUG-1").await, homes.us.stock_of(Region::Us, "MUG-1").await);
    assert_eq!(((eu.on_hand, eu.reserved, eu.sold, eu.is_held), (us.on_hand, us.sold)), ((7, 0, 3, true), (10, 0)));
    homes.become_the_same().await;
    homes.assert_stock_is_conserved(20).await;
}

#[tokio::test]
async fn what_a_region_reserved_unheard_is_undone_when_it_comes_back() {
    let mut homes = Homes::with(10, 10).await;
    let (heard, unheard, again) = (new_order(), new_order(), new_order());
    homes.eu.reserve(&heard, &[("MUG-1", 4)]).await.unwrap();
    homes.become_the_same().await;
    // Cut off, and not knowing it yet: eu sells, reserves and gives away.
    run(&mut homes.us_database, "SELECT region.listen_to('eu', false)").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(homes.eu.commit(&heard).await, Ok(Committed));
    for order in [&unheard, &again] {
        homes.eu.reserve(order, &[("MUG-1", 2)]).await.unwrap();
    }
    assert_eq!(homes.eu.give(Uuid::now_v7(), 2).await.unwrap(), 2);
    run(&mut homes.eu_database, "SELECT region.set_home('eu', 'eu', 0, 0)").await;
    homes.take_over().await;
    assert_eq!(homes.us.release(&heard).await, Ok(Released), "us heard of no sale");
    assert_eq!(homes.us.reserve_of(EU, &again, &[("MUG-1", 2)]).await, Ok(Reserved));
    // All that both have, and not one more.
    assert_eq!(homes.us.reserve_of(EU, &new_order(), &[("MUG-1", 18)]).await, Ok(Reserved));
    assert_eq!(reason(homes.us.reserve(&new_order(), &[("MUG-1", 1)]).await), "INVENTORY_OUT_OF_STOCK");

    // eu is told, and both hear each other again.
    run(&mut homes.eu_database, "SELECT region.set_home('eu', 'us', 1, 0)").await;
    for answer in [homes.eu.reserve(&unheard, &[("MUG-1", 2)]).await, homes.eu.commit(&unheard).await] {
        assert_eq!(reason(answer), "REGION_FENCED", "what it remembers may be undone");
    }
    run(&mut homes.us_database, "SELECT region.listen_to('eu', true)").await;
    eventually("what eu wrote is refused", SOON, async || {
        let refused = count(&mut homes.us_database, "SELECT count(DISTINCT (tbl, pk)) FROM region.refused").await;
        // Three reservations, of which two are new with a line each, the stock, and half a transfer.
        if refused == 3 + 2 + 1 + 1 { Ok(()) } else { Err(refused.to_string()) }
    })
    .await;
    run(&mut homes.us_database, "SELECT region.heal()").await;
    homes.become_the_same().await;
    homes.assert_stock_is_conserved(20).await;

    // eu takes its home back.
    run(&mut homes.us_database, "SELECT region.set_home('eu', 'eu', 2, 0)").await;
    run(&mut homes.eu_database, "SELECT region.set_home('eu', 'eu', 2, 1000000)").await;
    assert_eq!(reason(homes.eu.commit(&unheard).await), "INVENTORY_RESERVATION_NOT_FOUND");
    assert_eq!(reason(homes.eu.commit(&heard).await), "INVENTORY_RESERVATION_RELEASED");
    assert_eq!(homes.eu.commit(&again).await, Ok(Committed));
    assert_eq!(reason(homes.us.release(&again).await), "REGION_FENCED");
    homes.become_the_same().await;
    homes.assert_stock_is_conserved(20).await;
    assert_eq!(count(&mut homes.us_database, "SELECT count(*) FROM region.refused WHERE seen_to_at IS NULL").await, 0);
}

#[tokio::test]
async fn a_region_with_both_homes_sells_all_of_both_and_not_one_more() {
    let mut homes = Homes::with(120, 80).await;
    homes.eu.service.lock().await.kill();
    homes.take_over().await;
    let (of_eu, of_us) = tokio::join!(homes.us.sell(EU, 60, 32), homes.us.sell(None, 400, 64));
    assert_eq!(of_eu.0 + of_us.0, 200, "of eu's home {of_eu:?}, of us's {of_us:?}");
    assert_eq!(homes.us.in_stock("MUG-1").await, 0);
    homes.us.assert_stock_is_conserved().await;
    let halved =
        "SELECT count(*) FROM (SELECT FROM inventory.rights_moved GROUP BY transfer_id HAVING count(*) <> 2 OR sum(quantity) <> 0)";
    assert_eq!(count(&mut homes.us_database, halved).await, 0, "every transfer has both halves");
    homes.become_the_same().await;
    homes.assert_stock_is_conserved(200).await;
}

#[tokio::test]
async fn units_on_their_way_arrive_also_when_their_home_is_taken_over() {
    let mut homes = Homes::with(10, 10).await;
    homes.eu.service.lock().await.kill();
    assert_eq!(homes.us.give(Uuid::now_v7(), 4).await.unwrap(), 4);
    homes.become_the_same().await;
    assert_eq!(count(&mut homes.us_database, "SELECT count(*) FROM inventory.rights_on_their_way WHERE home = 'eu'").await, 1);
    homes.take_over().await;
    eventually("the units have come", SOON, async || {
        let eu = homes.us.stock_of(Region::Eu, "MUG-1").await;
        if (eu.on_hand, eu.moved) == (14, 4) { Ok(()) } else { Err(format!("{eu:?}")) }
    })
    .await;
    homes.become_the_same().await;
    homes.assert_stock_is_conserved(20).await;
}

#[tokio::test]
async fn an_order_that_ended_elsewhere_ends_its_reservation_at_home() {
    let regions = Regions::with(10, 10).await;
    let order = new_order();
    regions.eu.reserve(&order, &[("MUG-1", 3)]).await.unwrap();
    eventually("us knows of the reservation", SOON, async || {
        let eu = regions.us.stock_of(Region::Eu, "MUG-1").await;
        if eu.reserved == 3 { Ok(()) } else { Err(format!("{eu:?}")) }
    })
    .await;
    // us held eu's home when it said so, and has given it back before its inventory heard.
    let payload = OrderShipped { order_id: order.clone(), version: 3 }.encode_to_vec();
    let shipped = Event { id: Uuid::now_v7(), topic: spine::topics::ORDER_EVENTS, key: order.clone(), kind: "order.shipped", payload };
    regions.us_kafka.publish(&shipped).await;
    eventually("eu sells", SOON, async || {
        let eu = regions.eu.stock_of(Region::Eu, "MUG-1").await;
        if (eu.reserved, eu.sold) == (0, 3) { Ok(()) } else { Err(format!("{eu:?}")) }
    })
    .await;
    assert_eq!(regions.eu.events_of(&order).await, ["inventory.reserved", "inventory.committed"]);
    assert_eq!(regions.us.events_of(&order).await, ["inventory.order_ended"]);
}
