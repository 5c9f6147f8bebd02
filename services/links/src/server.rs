//! Wiring: what was set, listeners, API.

use std::sync::Arc;

use link::{Link, Links, Shape, Traffic};
use rpc::{Process, Readiness, process::Fatal};
use tokio::{net::TcpListener, task::block_in_place};

use crate::{
    api::{self, World},
    config::Config,
    metrics,
    store::Store,
};

/// Runs the service until shutdown.
pub(crate) async fn run(config: Config, process: Process) -> Result<(), Fatal> {
    let (store, kept) = block_in_place(|| Store::open(&config.data_dir))?;
    let links = Links::new(&config.links, Shape::of_latency(config.latency), &kept);
    let mut carried = Vec::new();
    for link in config.links.0 {
        let address = link.listen;
        let listener = TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))?;
        let traffic = Arc::<Traffic>::default();
        let serving = links.clone().serve(link.clone(), listener, traffic.clone(), process.shutdown.clone());
        process.spawn("link", async {
            serving.await;
            Ok(())
        });
        carried.push((link, traffic));
    }
    tracing::info!(links = carried.len(), latency = ?config.latency, set = kept.len(), "links are open");
    let carried: Arc<[(Link, Arc<Traffic>)]> = carried.into();
    let noting = metrics::run(links.clone(), carried.clone(), process.shutdown.clone());
    process.spawn("metrics", async {
        noting.await;
        Ok(())
    });
    let world = World { links, carried, store, setting: Arc::default() };
    process.serve(api::router(world), None, Readiness::default()).await
}
