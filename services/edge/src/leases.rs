//! Asks a region service who holds which home, again and again. Its silence changes nothing.

use std::time::Duration;

use futures::future::join_all;
use ids::Region;
use proto::{
    market::v1 as market,
    region::v1::{GetRegionRequest, GetRegionResponse, region_service_client::RegionServiceClient},
};
use rpc::{Client, ServiceConfig, process::Fatal};
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

use crate::{config::Config, homes::Claim, regions::Regions};

/// Asks one region service of both homes.
#[derive(Debug)]
pub(crate) struct Asker {
    regions: Regions,
    client: Client,
    interval: Duration,
    timeout: Duration,
}

impl Asker {
    pub(crate) fn new(regions: &Regions, service: &Endpoint, config: &Config) -> Self {
        let client = Client::new([service.clone()], ServiceConfig::for_probes());
        Self { regions: regions.clone(), client, interval: config.lease_interval, timeout: config.probe_timeout }
    }

    /// Asks until shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), Fatal> {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let asked = join_all(Region::ALL.map(|home| self.ask(home)));
            if shutdown.run_until_cancelled(asked).await.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn ask(&self, home: Region) {
        let mut client = RegionServiceClient::new(self.client.clone());
        let request = GetRegionRequest { home: market::Region::from(home).into() };
        match timeout(self.timeout, client.get_region(request)).await {
            Ok(Ok(answer)) => {
                if let Some(claim) = claim(answer.get_ref()) {
                    self.regions.claimed(home, claim);
                }
            }
            Ok(Err(status)) => tracing::debug!(edge.home = %home, error = %status.message(), "region service refused"),
            Err(_) => tracing::debug!(edge.home = %home, "region service is silent"),
        }
    }
}

/// None when the service does not know the holder itself.
fn claim(answer: &GetRegionResponse) -> Option<Claim> {
    let holder = Region::try_from(answer.holder()).ok()?;
    Some(Claim { holder, epoch: answer.epoch, is_drained: answer.drained })
}
