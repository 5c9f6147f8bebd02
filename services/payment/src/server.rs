//! Wiring: pool, provider, workers, RPCs, webhooks, health.

use ::config::Checkout;
use proto::{
    checkout::v1::participant_service_server::ParticipantServiceServer, payment::v1::payment_service_server::PaymentServiceServer,
};
use rpc::{Grpc, Process, Readiness, process::Fatal};
use spine::{Consumer, InDatabase, Outbox, Pace, topics::INVENTORY_EVENTS};
use store::two_phase::Prepared;

use crate::{
    api::{Api, Follower},
    cashier::Cashier,
    choreography::{self, Held},
    config::Config,
    metrics,
    participant::Participant,
    psp::Psp,
    reconciler::Reconciler,
    sweeper::Sweeper,
    webhook::{self, Webhooks},
    workflow::{self, Steps},
};

/// A write that waits for the other region holds its connection for a round trip.
const CONNECTIONS: u32 = 16;

/// Runs the service until shutdown.
pub(crate) async fn run(config: Config, process: Process) -> Result<(), Fatal> {
    metrics::describe();
    let pool = store::connect(&config.database_url, CONNECTIONS)?;
    let outbox = Outbox {
        pool: pool.clone(),
        database_url: config.database_url.clone(),
        bootstrap: config.kafka.clone(),
        source: format!("/market/{}/payment", config.region),
        is_mirrored: true,
    };
    spine::publish(&process, outbox);

    let (starter, workflows) = workflow::channel();
    let steps = Steps::new(pool.clone(), config.psp.clone(), config.webhook_url.clone())?;
    process.spawn("workflows", workflows.run(config.temporal, steps, process.shutdown.clone()));
    let sweeper = Sweeper { follow_after: config.follow_after, step_up_patience: config.step_up_patience };
    let sweep = sweeper.run(pool.clone(), starter.clone(), process.shutdown.clone());
    process.spawn("sweeper", async {
        sweep.await;
        Ok(())
    });

    let cashier = Cashier { pool: pool.clone(), psp: Psp::new(config.psp, config.webhook_url)? };
    let reconciler = Reconciler { cashier: cashier.clone(), home: config.region };
    process.spawn("reconciler", reconciler.clone().run(config.reconcile_every, process.shutdown.clone()));
    let webhooks = Webhooks { cashier: cashier.clone(), secret: config.webhook_secret };
    let follower = Follower { cashier, starter };
    let mut grpc = Grpc::default().with(PaymentServiceServer::new(Api { follower: follower.clone(), reconciler }));
    match config.checkout {
        Checkout::Saga => {}
        Checkout::TwoPhase => {
            let prepared = Prepared::new(&config.database_url, "payment")?;
            grpc = grpc.with(ParticipantServiceServer::new(Participant { follower, pool: pool.clone(), prepared }));
        }
        Checkout::Choreography => {
            let sink = InDatabase { pool: pool.clone(), consumer: choreography::GROUP, handler: Held::new(follower) };
            let consumer = Consumer {
                bootstrap: config.kafka.clone(),
                group: choreography::GROUP,
                topics: &[INVENTORY_EVENTS],
                pace: Pace::Prompt,
                sink,
            };
            consumer.start(&process, "held units");
        }
    }
    let (calls, health) = grpc.finish();
    let kafka = config.kafka;
    // The provider is not ours: without it payments still can be read, and orders wait. Without Temporal what calls leave open waits.
    let readiness =
        Readiness::default().needs("postgres", move || store::ping(pool.clone())).needs("kafka", move || spine::ping(kafka.clone()));
    process.serve(calls.merge(webhook::router(webhooks)), Some(health), readiness).await
}
