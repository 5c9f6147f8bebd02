//! Wiring: index, tail, RPCs, health.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use proto::search::v1::search_service_server::SearchServiceServer;
use rpc::{Grpc, Process, Readiness, process::Fatal};

use crate::{api::Api, config::Config, inbox::Feed, index, metrics};

/// Runs the service until shutdown.
pub(crate) async fn run(config: Config, process: Process) -> Result<(), Fatal> {
    metrics::describe();
    let shutdown = process.shutdown.clone();
    let (writer, reader) = index::open(&config.data_dir)?;
    metrics::show_documents(reader.count());
    tracing::info!(region = %config.region, folder = %config.data_dir.display(), items = reader.count(), "index opened");

    let caught_up = Arc::new(AtomicBool::new(false));
    let feed = Feed { bootstrap: config.kafka.clone(), writer, caught_up: caught_up.clone() };
    process.spawn("item feed", async { Ok(feed.run(shutdown).await?) });

    let (router, health) = Grpc::default().with(SearchServiceServer::new(Api { reader })).finish();
    let kafka = config.kafka;
    let readiness = Readiness::default().needs("kafka", move || spine::ping(kafka.clone())).needs("index", move || {
        let is_caught_up = caught_up.load(Ordering::Acquire);
        async move { if is_caught_up { Ok(()) } else { Err("the index is still catching up with the catalog".to_owned()) } }
    });
    process.serve(router, Some(health), readiness).await
}
