//! What was acknowledged stays, whatever is killed.

use std::{collections::BTreeMap, time::Duration};

use testkit::eventually;
use tokio::sync::Mutex;

use super::{World, placed, request};

#[tokio::test]
async fn an_acknowledged_order_survives_kill() {
    let mut world = World::new().await;
    let order = placed(world.place(request("s1", "k1")).await.unwrap());
    world.service.kill_and_restart().await;
    assert_eq!(world.get(&order.order_id).await.unwrap(), order);
    let again = world.place(request("s1", "k1")).await.unwrap();
    assert!(again.replayed);
    assert_eq!(placed(again).order_id, order.order_id);
}

#[tokio::test]
async fn a_kill_in_the_middle_of_traffic_loses_and_doubles_nothing() {
    let mut world = World::new().await;
    let client = world.client();
    let acknowledged = Mutex::new(BTreeMap::new());
    let shop = |shopper: u32| {
        let (mut client, acknowledged) = (client.clone(), &acknowledged);
        async move {
            for number in 0..40 {
                let key = format!("{shopper}-{number}");
                // The same key until there is an answer, as a shop does.
                let answer = eventually("the order is acknowledged", Duration::from_secs(30), async || {
                    client.place_order(request("s1", &key)).await
                });
                let order = placed(answer.await.into_inner());
                acknowledged.lock().await.insert(key, order.order_id);
            }
        }
    };
    let kill_twice = async {
        for at_least in [50, 150] {
            eventually("traffic flows", Duration::from_secs(30), async || {
                let count = acknowledged.lock().await.len();
                if count >= at_least { Ok(()) } else { Err(format!("{count} orders")) }
            })
            .await;
            world.service.kill_and_restart().await;
        }
    };
    tokio::join!(futures::future::join_all((0..8).map(shop)), kill_twice);
    let stored: Vec<String> = sqlx::query_scalar("SELECT order_id::text FROM orders").fetch_all(&world.pool()).await.unwrap();
    let acknowledged = acknowledged.lock().await;
    assert_eq!((acknowledged.len(), stored.len()), (320, 320), "one order for each key");
    assert!(acknowledged.values().all(|id| stored.contains(id)));
    assert_eq!(world.outbox().await.len(), 320, "one event for each order");
}
