//! Wiring: pool, workers, RPCs, health.

use ::config::Checkout;
use proto::{
    checkout::v1::participant_service_server::ParticipantServiceServer, inventory::v1::inventory_service_server::InventoryServiceServer,
};
use rpc::{Grpc, Process, Readiness, process::Fatal};
use spine::{
    Consumer, InDatabase, Outbox, Pace,
    topics::{INVENTORY_RIGHTS, ORDER_EVENTS},
};
use store::two_phase::Prepared;

use crate::{api::Api, choreography, config::Config, inbox, metrics, participant::Participant, peer, rights::Rights};

const CONNECTIONS: u32 = 8;

/// Runs the service until shutdown.
pub(crate) async fn run(config: Config, process: Process) -> Result<(), Fatal> {
    metrics::describe();
    let pool = store::connect(&config.database_url, CONNECTIONS)?;
    let outbox = Outbox {
        pool: pool.clone(),
        database_url: config.database_url.clone(),
        bootstrap: config.kafka.clone(),
        source: format!("/market/{}/inventory", config.region),
        is_mirrored: true,
    };
    spine::publish(&process, outbox);

    let sink = InDatabase {
        pool: pool.clone(),
        consumer: inbox::GROUP,
        handler: inbox::Orders { region: config.region, checkout: config.checkout },
    };
    // A saga releases what it holds by itself, and this only makes sure; without sagas nobody else does.
    let pace = if config.checkout == Checkout::Saga { Pace::Gathering } else { Pace::Prompt };
    let consumer = Consumer { bootstrap: config.kafka.clone(), group: inbox::GROUP, topics: &[ORDER_EVENTS], pace, sink };
    consumer.start(&process, "order events");

    let rights = Rights::new(pool.clone(), config.peer_kafka.is_some());
    rights.take(&process);
    rights.restock(&process);
    if let Some(bootstrap) = config.peer_kafka {
        let sink =
            InDatabase { pool: pool.clone(), consumer: peer::GROUP, handler: peer::Peer { region: config.region, rights: rights.clone() } };
        let consumer = Consumer { bootstrap, group: peer::GROUP, topics: &[INVENTORY_RIGHTS], pace: Pace::Prompt, sink };
        consumer.start(&process, "the other region's rights");
    }

    let mut grpc = Grpc::default().with(InventoryServiceServer::new(Api { region: config.region, pool: pool.clone(), rights }));
    match config.checkout {
        Checkout::Saga => {}
        Checkout::TwoPhase => {
            let prepared = Prepared::new(&config.database_url, "inventory")?;
            grpc = grpc.with(ParticipantServiceServer::new(Participant { region: config.region, pool: pool.clone(), prepared }));
        }
        Checkout::Choreography => {
            let sink = InDatabase { pool: pool.clone(), consumer: choreography::GROUP, handler: choreography::Placed(config.region) };
            let consumer =
                Consumer { bootstrap: config.kafka.clone(), group: choreography::GROUP, topics: &[ORDER_EVENTS], pace: Pace::Prompt, sink };
            consumer.start(&process, "placed orders");
        }
    }
    let (router, health) = grpc.finish();
    let kafka = config.kafka;
    let readiness =
        Readiness::default().needs("postgres", move || store::ping(pool.clone())).needs("kafka", move || spine::ping(kafka.clone()));
    process.serve(router, Some(health), readiness).await
}
