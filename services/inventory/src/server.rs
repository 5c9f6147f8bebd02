//! Wiring: pool, workers, RPCs, health.

use proto::inventory::v1::inventory_service_server::InventoryServiceServer;
use rpc::{Grpc, Process, Readiness, process::Fatal};
use spine::Consumer;

use crate::{api::Api, config::Config, inbox, metrics};

const CONNECTIONS: u32 = 16;

/// Runs the service until shutdown.
pub(crate) async fn run(config: Config, process: Process) -> Result<(), Fatal> {
    metrics::describe();
    let pool = store::connect(&config.database_url, CONNECTIONS)?;
    let wake = spine::publish(&process, &pool, &config.kafka, format!("/market/{}/inventory", config.region));

    let handler = inbox::Orders { pool: pool.clone(), wake: wake.clone() };
    let consumer = Consumer { bootstrap: config.kafka.clone(), group: inbox::GROUP, topics: &[spine::topics::ORDER_EVENTS], handler };
    consumer.start(&process, "order events");

    let api = Api { pool: pool.clone(), wake };
    let (router, health) = Grpc::default().with(InventoryServiceServer::new(api)).finish()?;
    let kafka = config.kafka;
    let readiness =
        Readiness::default().needs("postgres", move || store::ping(pool.clone())).needs("kafka", move || spine::ping(kafka.clone()));
    process.serve(router, Some(health), readiness).await
}
