//! Settings of the region service.

use std::{str::FromStr, time::Duration};

use config::{Reader, Secret};
use ids::Region;
use lease::Timing;
use tonic::transport::Endpoint;

/// Settings of the region service.
#[derive(Debug)]
pub struct Config {
    /// The region that this process keeps.
    pub region: Region,
    /// Database of the region, role `region`.
    pub database_url: Secret,
    /// The coordinator's sites, the region's own first.
    pub coordinators: Vec<Endpoint>,
    /// The other region's region service; `None` when there is none.
    pub peer: Option<Endpoint>,
    /// The keeper's periods.
    pub timing: Timing,
}

struct Endpoints(Vec<Endpoint>);

impl FromStr for Endpoints {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let read = |part: &str| Endpoint::from_str(part).map_err(|error| format!("'{part}' is no address: {error}"));
        let endpoints: Vec<Endpoint> = parts.map(read).collect::<Result<_, _>>()?;
        if endpoints.is_empty() { Err("it names no address".to_owned()) } else { Ok(Self(endpoints)) }
    }
}

/// Whether a home goes back by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failback {
    Auto,
    Manual,
}

impl FromStr for Failback {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "manual" => Ok(Self::Manual),
            _ => Err("it is auto or manual"),
        }
    }
}

impl Config {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        let Endpoints(coordinators) = reader.parsed("COORDINATOR_ADDRS", "http://127.0.0.1:21379");
        let failback: Failback = reader.parsed("FAILBACK", "auto");
        let usual = Timing::default();
        let mut period = |name: &str, usual: Duration| reader.duration(name, &format!("{}ms", usual.as_millis()));
        let timing = Timing {
            // Two regions on their way up start within this of each other.
            warm_up: period("TAKEOVER_AFTER_START", usual.warm_up),
            caught_up: period("FAILBACK_AFTER", usual.caught_up),
            gives_back: failback == Failback::Auto,
            ..usual
        };
        Self {
            region: reader.parsed("REGION", "eu"),
            database_url: reader.secret("DATABASE_URL", "postgres://region:password@127.0.0.1:21432/market"),
            coordinators,
            peer: reader.optional("PEER_REGION_ADDR").map(|_| reader.parsed("PEER_REGION_ADDR", "http://127.0.0.1:21407")),
            timing,
        }
    }
}
