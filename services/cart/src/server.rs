//! Wiring: pool, workers, RPCs, health.

use std::time::Duration;

use crdt::ReplicaId;
use ids::Region;
use proto::cart::v1::{cart_peer_service_server::CartPeerServiceServer, cart_service_server::CartServiceServer};
use rpc::{Grpc, Process, Readiness, process::Fatal};
use spine::{Consumer, InDatabase, Outbox, Pace};
use sqlx::PgPool;

use crate::{
    api::Api,
    config::Config,
    inbox, metrics,
    notices::Notices,
    peer,
    repair::{self, Answers},
    store::{self as carts, Carts},
};

const CONNECTIONS: u32 = 8;
/// Between two tries to reach the database at the start.
const RETRY: Duration = Duration::from_millis(500);

/// Runs the service until shutdown.
pub(crate) async fn run(config: Config, process: Process) -> Result<(), Fatal> {
    metrics::describe();
    let pool = store::connect(&config.database_url, CONNECTIONS)?;
    let outbox = Outbox {
        pool: pool.clone(),
        database_url: config.database_url,
        bootstrap: config.kafka.clone(),
        source: format!("/market/{}/cart", config.region),
        is_mirrored: false,
    };
    spine::publish(&process, outbox);

    let replica = process.shutdown.run_until_cancelled(Box::pin(replica(&pool, config.region))).await;
    let Some(replica) = replica else { return Ok(()) };
    let carts = Carts { pool: pool.clone(), replica: replica? };
    let nats = async_nats::ConnectOptions::new().name("cart").retry_on_initial_connect().connect(&config.nats_url).await?;
    let notices = Notices::start(&process, nats);
    let sink = InDatabase {
        pool: pool.clone(),
        consumer: inbox::GROUP,
        handler: inbox::Orders { carts: carts.clone(), notices: notices.clone() },
    };
    let consumer = Consumer {
        bootstrap: config.kafka.clone(),
        group: inbox::GROUP,
        topics: &[spine::topics::ORDER_EVENTS],
        pace: Pace::Gathering,
        sink,
    };
    consumer.start(&process, "order events");
    if let Some(bootstrap) = config.peer_kafka {
        let sink = InDatabase { pool: pool.clone(), consumer: peer::GROUP, handler: peer::Peer(notices.clone()) };
        let consumer = Consumer { bootstrap, group: peer::GROUP, topics: &[spine::topics::CART_EVENTS], pace: Pace::Gathering, sink };
        consumer.start(&process, "the other region's carts");
    }

    if let Some(peer) = config.peer {
        let repair = repair::run(pool.clone(), rpc::channel(peer), notices.clone(), config.repair_every, process.shutdown.clone());
        process.spawn("comparison with the other region", async {
            repair.await;
            Ok(())
        });
    }

    let services =
        Grpc::default().with(CartServiceServer::new(Api { carts, notices })).with(CartPeerServiceServer::new(Answers(pool.clone())));
    let (router, health) = services.finish();
    let kafka = config.kafka;
    let readiness =
        Readiness::default().needs("postgres", move || store::ping(pool.clone())).needs("kafka", move || spine::ping(kafka.clone()));
    process.serve(router, Some(health), readiness).await
}

/// The name under which carts are changed here, as soon as the database is there.
async fn replica(pool: &PgPool, region: Region) -> Result<ReplicaId, crate::error::Error> {
    loop {
        match carts::replica(pool, region).await {
            Err(crate::error::Error::Database(error)) if store::is_unavailable(&error) => {
                tracing::info!(%error, "waiting for the database");
                tokio::time::sleep(RETRY).await;
            }
            answer => return answer,
        }
    }
}
