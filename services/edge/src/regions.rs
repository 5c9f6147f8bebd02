//! What the edge thinks of each region: asked of its storefront again and again, and heard at once when a connection is refused.

use std::{sync::Arc, time::Duration};

use axum::http::{StatusCode, Uri, uri::Scheme};
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use ids::Region;
use rpc::process::Fatal;
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Address, Config},
    metrics,
};

/// Failed probes in a row that make a region unhealthy: one may be an accident.
const FAILURES: u32 = 2;

/// Whether a region can be sent requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Health {
    /// Not asked often enough yet.
    #[default]
    Unknown,
    /// It has what it needs.
    Healthy,
    /// It answers that something is missing.
    Unready,
    /// It does not answer.
    Down,
}

impl Health {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unready => "unready",
            Self::Down => "down",
        }
    }
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    Ready,
    Unready,
    Silent,
}

/// Health, and the failed probes that led there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Opinion {
    health: Health,
    failures: u32,
}

impl Opinion {
    fn after(self, probe: Probe) -> Self {
        let failures = self.failures.saturating_add(1);
        match probe {
            Probe::Ready => Self { health: Health::Healthy, failures: 0 },
            Probe::Unready if failures >= FAILURES => Self { health: Health::Unready, failures },
            Probe::Silent if failures >= FAILURES => Self { health: Health::Down, failures },
            Probe::Unready | Probe::Silent => Self { failures, ..self },
        }
    }

    fn after_refusal(self) -> Self {
        Self { health: Health::Down, failures: self.failures.max(FAILURES) }
    }
}

/// Both regions. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Regions(Arc<[Entry; 2]>);

#[derive(Debug)]
struct Entry {
    region: Region,
    address: Address,
    opinion: watch::Sender<Opinion>,
}

impl Regions {
    pub(crate) fn new(config: &Config) -> Self {
        Self(Arc::new([(Region::Eu, &config.eu), (Region::Us, &config.us)].map(|(region, address)| Entry {
            region,
            address: address.clone(),
            opinion: watch::Sender::default(),
        })))
    }

    fn entry(&self, region: Region) -> &Entry {
        self.0.iter().find(|entry| entry.region == region).expect("both regions are here")
    }

    pub(crate) fn address(&self, region: Region) -> &Address {
        &self.entry(region).address
    }

    pub(crate) fn health(&self, region: Region) -> Health {
        self.entry(region).opinion.borrow().health
    }

    pub(crate) fn is_any_healthy(&self) -> bool {
        Region::ALL.iter().any(|&region| self.health(region) == Health::Healthy)
    }

    /// A connection to `region` could not be made.
    pub(crate) fn refused(&self, region: Region) {
        self.revise(region, Opinion::after_refusal);
    }

    /// Ends when `region` goes down from now on.
    pub(crate) fn gone_down(&self, region: Region) -> impl Future<Output = ()> + use<> {
        let mut opinion = self.entry(region).opinion.subscribe();
        async move {
            while opinion.changed().await.is_ok() {
                if opinion.borrow_and_update().health == Health::Down {
                    return;
                }
            }
            std::future::pending().await
        }
    }

    fn revise(&self, region: Region, next: impl FnOnce(Opinion) -> Opinion) {
        self.entry(region).opinion.send_if_modified(|opinion| {
            let last = std::mem::replace(opinion, next(*opinion));
            let is_news = last.health != opinion.health;
            if is_news {
                tracing::info!(edge.region = %region, health = opinion.health.as_str(), "region changed");
                metrics::set_healthy(region, opinion.health == Health::Healthy);
            }
            is_news
        });
    }
}

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
            let Some(probe) = shutdown.run_until_cancelled(self.ask(uri.clone())).await else { break };
            self.regions.revise(self.region, |opinion| opinion.after(probe));
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn opinion(probes: &[Probe]) -> Opinion {
        probes.iter().fold(Opinion::default(), |opinion, probe| opinion.after(*probe))
    }

    #[test]
    fn one_good_probe_heals_and_two_bad_ones_are_needed() {
        use Probe::{Ready, Silent, Unready};
        assert_eq!(opinion(&[]).health, Health::Unknown);
        assert_eq!(opinion(&[Silent]).health, Health::Unknown);
        assert_eq!(opinion(&[Ready, Silent]).health, Health::Healthy);
        assert_eq!(opinion(&[Ready, Silent, Silent]).health, Health::Down);
        assert_eq!(opinion(&[Ready, Silent, Unready]).health, Health::Unready);
        assert_eq!(opinion(&[Ready, Silent, Ready, Silent]).health, Health::Healthy);
        assert_eq!(opinion(&[Silent, Silent, Silent, Ready]).health, Health::Healthy);
    }

    #[test]
    fn a_refused_connection_counts_at_once_until_the_next_good_probe() {
        let refused = opinion(&[Probe::Ready]).after_refusal();
        assert_eq!(refused.health, Health::Down);
        assert_eq!(refused.after(Probe::Unready).health, Health::Unready);
        assert_eq!(refused.after(Probe::Ready).health, Health::Healthy);
    }

    proptest! {
        #[test]
        fn a_region_is_healthy_exactly_when_its_last_good_probe_is_near(probes in prop::collection::vec(
            prop::sample::select(vec![Probe::Ready, Probe::Unready, Probe::Silent]), 0..12,
        )) {
            let failed = probes.iter().rev().take_while(|probe| **probe != Probe::Ready).count();
            let was_ready = failed < probes.len();
            prop_assert_eq!(opinion(&probes).health == Health::Healthy, was_ready && failed < FAILURES as usize);
        }
    }
}
