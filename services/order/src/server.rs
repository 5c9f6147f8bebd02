//! Wiring: pool, workers, RPCs, health.

use proto::{
    inventory::v1::inventory_service_client::InventoryServiceClient, order::v1::order_service_server::OrderServiceServer,
    payment::v1::payment_service_client::PaymentServiceClient,
};
use rpc::{Grpc, Process, Readiness, process::Fatal};
use spine::Consumer;

use crate::{api::Api, config::Config, inbox, metrics, saga, status, sweeper};

const CONNECTIONS: u32 = 24;

/// Runs the service until shutdown.
pub(crate) async fn run(config: Config, process: Process) -> Result<(), Fatal> {
    metrics::describe();
    let pool = store::connect(&config.database_url, CONNECTIONS)?;
    let (starter, sagas) = saga::channel();
    let shutdown = process.shutdown.clone();
    let wake = spine::publish(&process, &pool, &config.kafka, format!("/market/{}/order", config.region));

    let handler = inbox::Payments { pool: pool.clone(), starter: starter.clone() };
    let consumer = Consumer { bootstrap: config.kafka.clone(), group: inbox::GROUP, topics: &[spine::topics::PAYMENT_EVENTS], handler };
    consumer.start(&process, "payment events");

    let nats = async_nats::ConnectOptions::new().name("order").retry_on_initial_connect().connect(&config.nats_url).await?;
    let handler = status::Statuses { nats };
    let consumer = Consumer { bootstrap: config.kafka.clone(), group: status::GROUP, topics: &[spine::topics::ORDER_EVENTS], handler };
    consumer.start(&process, "order status");

    let steps = saga::Steps {
        pool: pool.clone(),
        wake: wake.clone(),
        inventory: InventoryServiceClient::new(rpc::channel(config.inventory)),
        payment: PaymentServiceClient::new(rpc::channel(config.payment)),
    };
    process.spawn("saga worker", sagas.run(config.temporal, steps, pool.clone(), shutdown.clone()));
    let sweep = sweeper::run(pool.clone(), config.region, starter.clone(), shutdown.clone());
    process.spawn("sweeper", async {
        sweep.await;
        Ok(())
    });

    let api = Api { pool: pool.clone(), home: config.region, wake, starter: starter.clone() };
    let (router, health) = Grpc::default().with(OrderServiceServer::new(api)).finish()?;
    let kafka = config.kafka;
    let readiness = Readiness::default()
        .needs("postgres", move || store::ping(pool.clone()))
        .needs("kafka", move || spine::ping(kafka.clone()))
        .needs("temporal", move || {
            let connected = starter.is_connected();
            async { connected }
        });
    process.serve(router, Some(health), readiness).await
}
