//! Wiring: pool, workers, RPCs, health.

use proto::cart::v1::cart_service_server::CartServiceServer;
use rpc::{Grpc, Process, Readiness, process::Fatal};
use spine::{Consumer, InDatabase, Outbox, Pace};

use crate::{api::Api, config::Config, inbox, metrics};

const CONNECTIONS: u32 = 8;

/// Runs the service until shutdown.
pub(crate) async fn run(config: Config, process: Process) -> Result<(), Fatal> {
    metrics::describe();
    let pool = store::connect(&config.database_url, CONNECTIONS)?;
    let outbox = Outbox {
        pool: pool.clone(),
        database_url: config.database_url,
        bootstrap: config.kafka.clone(),
        source: format!("/market/{}/cart", config.region),
    };
    spine::publish(&process, outbox);

    let sink = InDatabase { pool: pool.clone(), consumer: inbox::GROUP, handler: inbox::Orders };
    let consumer = Consumer {
        bootstrap: config.kafka.clone(),
        group: inbox::GROUP,
        topics: &[spine::topics::ORDER_EVENTS],
        pace: Pace::Gathering,
        sink,
    };
    consumer.start(&process, "order events");

    let api = Api { pool: pool.clone() };
    let (router, health) = Grpc::default().with(CartServiceServer::new(api)).finish()?;
    let kafka = config.kafka;
    let readiness =
        Readiness::default().needs("postgres", move || store::ping(pool.clone())).needs("kafka", move || spine::ping(kafka.clone()));
    process.serve(router, Some(health), readiness).await
}
