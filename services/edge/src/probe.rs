//! Asks a region's storefront for its readiness, again and again.

use std::time::{Duration, Instant};

use axum::http::{StatusCode, Uri, uri::Scheme};
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use ids::Region;
use rpc::process::Fatal;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{config::Config, health::Probe, regions::Regions};

/// Asks one region for its readiness.
#[derive(Debug)]
pub(crate) struct Prober {
    regions: Regions,
    region: Region,
    interval: Duration,
    timeout: Duration,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Prober {
    pub(crate) fn new(regions: &Regions, region: Region, config: &Config) -> Self {
        // A connection each: whether new ones are taken is part of the question.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Self { regions: regions.clone(), region, interval: config.probe_interval, timeout: config.probe_timeout, client }
    }

    /// Asks until shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), Fatal> {
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(self.regions.address(self.region).admin.clone());
        let uri = uri.path_and_query("/readyz").build()?;
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let begun = Instant::now();
            let Some(probe) = shutdown.run_until_cancelled(self.ask(uri.clone())).await else { break };
            self.regions.probed(self.region, probe, begun.elapsed());
        }
        Ok(())
    }

    async fn ask(&self, uri: Uri) -> Probe {
        match tokio::time::timeout(self.timeout, self.client.get(uri)).await {
            Ok(Ok(response)) if response.status() == StatusCode::OK => Probe::Ready,
            Ok(Ok(_)) => Probe::Unready,
            Ok(Err(_)) | Err(_) => Probe::Silent,
        }
    }
}
