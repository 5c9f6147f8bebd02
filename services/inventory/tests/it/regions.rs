//! Two regions that sell from one stock: the right to sell moves to where orders come, and nothing is sold twice.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use ids::Region;
use prost::Message as _;
use proto::{
    events::inventory::v1::{RightsMoved, RightsWanted},
    inventory::v1::{GetStockRequest, GiveRightsRequest, ReservationState, Stock},
    market::v1 as market,
};
use rpc::Failure;
use store::outbox::Event;
use testkit::{Kafka, eventually};
use uuid::Uuid;

use super::{World, new_order, reason};

/// Where the other region is heard.
const PEER: &str = "PEER_KAFKA_BOOTSTRAP_SERVERS";
const SOON: Duration = Duration::from_secs(20);

/// Both regions; each hears the other's Kafka, and has what the other's database mirrors.
pub(crate) struct Regions {
    pub(crate) eu: World,
    pub(crate) us: World,
    eu_kafka: Kafka,
    pub(crate) us_kafka: Kafka,
}

impl Regions {
    /// Regions that have so many units of MUG-1.
    pub(crate) async fn with(eu_stock: i64, us_stock: i64) -> Self {
        let (eu_kafka, us_kafka) = (Kafka::start().await, Kafka::start().await);
        let eu = World::in_region(Region::Eu, &eu_kafka.address(), &[(PEER, &us_kafka.address())]).await;
        let us = World::in_region(Region::Us, &us_kafka.address(), &[(PEER, &eu_kafka.address())]).await;
        testkit::postgres().await.mirror(&eu.database, &us.database).await;
        eu.put("MUG-1", eu_stock).await;
        us.put("MUG-1", us_stock).await;
        Self { eu, us, eu_kafka, us_kafka }
    }

    async fn settled(&self, total: i64) -> (Stock, Stock) {
        let mut both = None;
        eventually("no unit is on its way", SOON, async || {
            let (eu, us) = (self.eu.stock("MUG-1").await, self.us.stock("MUG-1").await);
            let sum = eu.stocked + us.stocked;
            both = Some((eu, us));
            if sum == total { Ok(()) } else { Err(format!("{sum} of {total}")) }
        })
        .await;
        both.expect("it was looked at")
    }
}

impl World {
    async fn stock(&self, sku: &str) -> Stock {
        self.stock_of(self.region, sku).await
    }

    /// A home's, as this region knows it.
    pub(crate) async fn stock_of(&self, home: Region, sku: &str) -> Stock {
        let answer = self.client.clone().get_stock(GetStockRequest { skus: vec![sku.to_owned()] }).await.expect("the stock can be read");
        let of_home = |stock: &Stock| stock.home_region() == market::Region::from(home);
        answer.into_inner().stock.into_iter().find(of_home).unwrap_or_default()
    }

    pub(crate) async fn give(&self, id: Uuid, quantity: i64) -> Result<i64, Failure> {
        let transfer_id = id.to_string();
        let request = GiveRightsRequest { transfer_id, sku: "MUG-1".to_owned(), quantity, ..GiveRightsRequest::default() };
        Ok(self.client.clone().give_rights(request).await.map_err(Failure::from)?.into_inner().quantity)
    }

    /// Sells one unit to each buyer, so many at once: how many got one, and how many did not.
    async fn sell_to(&self, buyers: usize, at_once: usize) -> (usize, usize) {
        self.sell(None, buyers, at_once).await
    }

    /// The same, from the stock of this home.
    pub(crate) async fn sell(&self, home: Option<Region>, buyers: usize, at_once: usize) -> (usize, usize) {
        let answers: Vec<_> = stream::iter(0..buyers).map(|_| async { self.buy(home).await }).buffer_unordered(at_once).collect().await;
        let sold = answers.iter().filter(|got_one| **got_one).count();
        (sold, answers.len() - sold)
    }

    /// One buyer, who repeats while the answer is not clear.
    async fn buy(&self, home: Option<Region>) -> bool {
        let order = new_order();
        loop {
            match self.reserve_of(home, &order, &[("MUG-1", 1)]).await {
                Ok(state) => {
                    assert_eq!(state, ReservationState::Reserved);
                    return true;
                }
                Err(failure) if failure.reason == "INVENTORY_OUT_OF_STOCK" => return false,
                Err(failure) => assert!(failure.kind.is_retryable(), "{failure:?}"),
            }
        }
    }
}

#[tokio::test]
async fn an_order_that_is_short_here_gets_units_of_the_other_region() {
    let regions = Regions::with(10, 0).await;
    assert_eq!(regions.us.reserve(&new_order(), &[("MUG-1", 3)]).await.unwrap(), ReservationState::Reserved);
    let (eu, us) = regions.settled(10).await;
    assert_eq!((us.reserved, eu.moved), (3, -us.moved));
    assert!(us.moved >= 3, "{us:?}");
    assert_eq!(reason(regions.us.reserve(&new_order(), &[("MUG-1", 8)]).await), "INVENTORY_OUT_OF_STOCK");
    for world in [&regions.eu, &regions.us] {
        world.assert_stock_is_conserved().await;
    }
}

#[tokio::test]
async fn a_transfer_is_made_once_by_its_id() {
    let regions = Regions::with(10, 0).await;
    let Regions { eu, us, eu_kafka, .. } = &regions;
    let id = Uuid::now_v7();
    for _ in 0..3 {
        assert_eq!(eu.give(id, 4).await.unwrap(), 4);
    }
    assert_eq!(eu.give(id, 5).await.unwrap_err().reason, "INVENTORY_TRANSFER_DIFFERS");
    assert_eq!(eu.give(Uuid::now_v7(), 7).await.unwrap_err().reason, "INVENTORY_OUT_OF_STOCK");
    // The same transfer is said again, as another event.
    let moved =
        |quantity| RightsMoved { transfer_id: id.to_string(), sku: "MUG-1".to_owned(), quantity, ..RightsMoved::default() }.encode_to_vec();
    let made_up = RightsMoved { sku: "MUG-1".to_owned(), quantity: 3, ..RightsMoved::default() };
    let (transfer_id, sku) = (Uuid::now_v7().to_string(), "MUG-1".to_owned());
    let wanted = RightsWanted { transfer_id, sku, quantity: -1, is_urgent: true, ..RightsWanted::default() };
    for (key, kind, payload) in [
        ("MUG-1", "inventory.rights_moved", moved(4)),
        ("MUG-1", "inventory.rights_moved", moved(4)),
        // Of a transfer that nobody made nothing comes, however often it is said.
        ("MUG-1", "inventory.rights_moved", RightsMoved { transfer_id: Uuid::now_v7().to_string(), ..made_up }.encode_to_vec()),
        // Nonsense goes to the dead letters, and with it what comes later for its key.
        ("POT-7", "inventory.rights_wanted", wanted.encode_to_vec()),
        ("PAN-3", "inventory.rights_moved", vec![0xff]),
    ] {
        let event = Event { id: Uuid::now_v7(), topic: spine::topics::INVENTORY_RIGHTS, key: key.to_owned(), kind, payload };
        eu_kafka.publish(&event).await;
    }
    let last = Uuid::now_v7();
    eu.give(last, 1).await.unwrap();
    eventually("the last transfer has come", SOON, async || {
        let us = us.stock("MUG-1").await;
        if us.on_hand == 5 { Ok(()) } else { Err(format!("{us:?}")) }
    })
    .await;
    let (eu, us) = regions.settled(10).await;
    assert_eq!(((eu.on_hand, eu.moved), (us.on_hand, us.moved)), ((5, -5), (5, 5)));
}

#[tokio::test]
async fn a_flash_sale_sells_each_unit_once_wherever_the_units_are() {
    // All units are in one region, most buyers in the other.
    let regions = Regions::with(500, 0).await;
    let (eu, us) = tokio::join!(regions.eu.sell_to(2_000, 64), regions.us.sell_to(8_000, 128));
    assert_eq!(eu.0 + us.0, 500, "sold in eu {eu:?}, in us {us:?}");
    let (eu, us) = regions.settled(500).await;
    assert_eq!((eu.reserved + us.reserved, eu.on_hand + us.on_hand), (500, 0), "{eu:?} {us:?}");
    for world in [&regions.eu, &regions.us] {
        world.assert_stock_is_conserved().await;
    }
}

#[tokio::test]
async fn regions_that_are_cut_off_sell_what_they_have_the_right_to() {
    // Neither region's Kafka answers, so each asks and hears nothing.
    let nowhere = testkit::nowhere();
    let eu = World::in_region(Region::Eu, &nowhere, &[(PEER, &nowhere)]).await;
    let us = World::in_region(Region::Us, &nowhere, &[(PEER, &nowhere)]).await;
    testkit::postgres().await.mirror(&eu.database, &us.database).await;
    for world in [&eu, &us] {
        world.put("MUG-1", 250).await;
    }
    let begun = std::time::Instant::now();
    let (in_eu, in_us) = tokio::join!(eu.sell_to(5_000, 64), us.sell_to(5_000, 64));
    assert_eq!((in_eu.0, in_us.0), (250, 250));
    // Only the first to be short waited for an answer.
    assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
    for world in [&eu, &us] {
        world.assert_stock_is_conserved().await;
    }
}
