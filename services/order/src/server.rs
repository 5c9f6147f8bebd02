//! Wiring: pool, workers, RPCs, health.

use ::config::Checkout;
use proto::order::v1::order_service_server::OrderServiceServer;
use rpc::{Grpc, Process, Readiness, process::Fatal};
use spine::{
    Consumer, InDatabase, Outbox, Outside, Pace,
    topics::{INVENTORY_EVENTS, ORDER_EVENTS, PAYMENT_EVENTS},
};

use crate::{
    api::Api,
    checkout::{Driver, choreography, two_phase::Coordinator},
    config::Config,
    events, inbox, metrics, saga, status,
    store::Placer,
    sweeper,
};

/// Few: each one learns its statements anew, and two cores do not serve more at once.
const CONNECTIONS: u32 = 12;

/// Runs the service until shutdown.
pub(crate) async fn run(config: Config, process: Process) -> Result<(), Fatal> {
    metrics::describe();
    let pool = ::store::connect(&config.database_url, CONNECTIONS)?;
    let (starter, sagas) = saga::channel();
    let shutdown = process.shutdown.clone();
    let outbox = Outbox {
        pool: pool.clone(),
        database_url: config.database_url,
        bootstrap: config.kafka.clone(),
        source: format!("/market/{}/order", config.region),
        is_mirrored: true,
    };
    spine::publish(&process, outbox);

    let handler = inbox::Payments { starter: starter.clone() };
    let sink = InDatabase { pool: pool.clone(), consumer: inbox::GROUP, handler };
    let consumer = Consumer { bootstrap: config.kafka.clone(), group: inbox::GROUP, topics: &[PAYMENT_EVENTS], pace: Pace::Prompt, sink };
    consumer.start(&process, "payment events");

    let nats = async_nats::ConnectOptions::new().name("order").retry_on_initial_connect().connect(&config.nats_url).await?;
    let sink = Outside(status::Statuses { nats });
    let consumer = Consumer { bootstrap: config.kafka.clone(), group: status::GROUP, topics: &[ORDER_EVENTS], pace: Pace::Prompt, sink };
    consumer.start(&process, "order status");

    let (inventory, payment) = (rpc::channel(config.inventory), rpc::channel(config.payment));
    let driver = match config.checkout {
        Checkout::Saga => Driver::Saga(starter.clone()),
        Checkout::TwoPhase => {
            let coordinator = Coordinator::new(pool.clone(), payment.clone(), inventory.clone());
            let recover = coordinator.clone().recover(shutdown.clone());
            process.spawn("recovery", async {
                recover.await;
                Ok(())
            });
            Driver::TwoPhase(Box::new(coordinator))
        }
        Checkout::Choreography => {
            let sink = InDatabase { pool: pool.clone(), consumer: choreography::GROUP, handler: choreography::Steps };
            let topics = &[INVENTORY_EVENTS, PAYMENT_EVENTS];
            Consumer { bootstrap: config.kafka.clone(), group: choreography::GROUP, topics, pace: Pace::Prompt, sink }
                .start(&process, "steps");
            Driver::Choreography
        }
    };
    let say = if config.checkout == Checkout::Choreography { events::with_card } else { events::of };
    let placer = Placer::new(pool.clone(), config.region, say);
    let steps = saga::Steps::new(pool.clone(), inventory, payment);
    process.spawn("saga worker", sagas.run(config.temporal, steps, pool.clone(), placer.pressure(), shutdown.clone()));
    let sweep = sweeper::run(pool.clone(), driver.clone(), starter.clone(), shutdown.clone());
    process.spawn("sweeper", async {
        sweep.await;
        Ok(())
    });

    let api = Api { pool: pool.clone(), placer, driver, starter: starter.clone() };
    let (router, health) = Grpc::default().with(OrderServiceServer::new(api)).finish();
    let kafka = config.kafka;
    let readiness = Readiness::default()
        .needs("postgres", move || ::store::ping(pool.clone()))
        .needs("kafka", move || spine::ping(kafka.clone()))
        .needs("temporal", move || {
            let connected = starter.is_connected();
            async { connected }
        });
    process.serve(router, Some(health), readiness).await
}
