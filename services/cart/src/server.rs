//! Wiring: pool, workers, RPCs, health.

use proto::cart::v1::cart_service_server::CartServiceServer;
use rpc::{Grpc, Process, Readiness, process::Fatal};
use spine::{Consumer, Relay, Wake};

use crate::{api::Api, config::Config, inbox, metrics};

const CONNECTIONS: u32 = 16;

/// Runs the service until shutdown.
pub(crate) async fn run(config: Config, process: Process) -> Result<(), Fatal> {
    metrics::describe();
    let pool = store::connect(&config.database_url, CONNECTIONS)?;
    let wake = Wake::default();
    let shutdown = process.shutdown.clone();

    let source = format!("/market/{}/cart", config.region);
    let relay = Relay { pool: pool.clone(), bootstrap: config.kafka.clone(), source, wake: wake.clone() };
    process.spawn("outbox relay", {
        let shutdown = shutdown.clone();
        async { Ok(relay.run(shutdown).await?) }
    });

    let handler = inbox::Orders { pool: pool.clone(), wake: wake.clone() };
    let consumer = Consumer { bootstrap: config.kafka.clone(), group: inbox::GROUP, topics: &[spine::topics::ORDER_EVENTS], handler };
    process.spawn("order events", {
        let shutdown = shutdown.clone();
        async { Ok(consumer.run(shutdown).await?) }
    });

    let prune = store::prune(pool.clone());
    process.spawn("prune", async move {
        shutdown.run_until_cancelled(prune).await;
        Ok(())
    });

    let api = Api { pool: pool.clone(), wake };
    let (router, health) = Grpc::default().with(CartServiceServer::new(api)).finish()?;
    let kafka = config.kafka;
    let readiness =
        Readiness::default().needs("postgres", move || store::ping(pool.clone())).needs("kafka", move || spine::ping(kafka.clone()));
    process.serve(router, Some(health), readiness).await
}
