//! Where the engines of a home are, as its state file says.

use anyhow::{Context as _, Result};
use ids::Region;
use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};

use crate::{
    engine::postgres::databases::MARKET,
    home::Home,
    state::{PartEntry, State},
};

/// Where everything is.
#[derive(Debug)]
pub struct Sources {
    databases: [PgConnectOptions; 2],
    kafka: [String; 2],
    /// The provider's address.
    pub provider: String,
}

impl Sources {
    /// What a home's state file says.
    ///
    /// # Errors
    /// When there is no market in that home, or only a part of one.
    pub fn of(home: &Home) -> Result<Self> {
        let state = State::read(home).with_context(|| format!("nothing has ever run in {}", home.path().display()))?;
        let ports = |place: &str, name: &str| -> Vec<u16> {
            let is_it = |part: &&PartEntry| part.region == place && part.name.split('-').next() == Some(name);
            state.parts.iter().filter(is_it).map(|part| part.port).collect()
        };
        let brokers = u16::try_from(ports(Region::Eu.as_str(), "kafka").len())?;
        let secrets = home.settings(brokers)?.secrets;
        let one = |place: &str, name: &str| ports(place, name).first().copied().with_context(|| format!("there is no {place}/{name}"));
        let database = |region: Region| -> Result<PgConnectOptions> {
            let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(one(region.as_str(), "postgres")?);
            let options = options.username("postgres").password(&secrets.superuser).database(MARKET);
            // Digests are made of text: both regions must write it the same way.
            Ok(options.application_name("backbone verify").options([("TimeZone", "UTC")]).disable_statement_logging())
        };
        let kafka = |region: Region| {
            let brokers = ports(region.as_str(), "kafka");
            brokers.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
        };
        Ok(Self {
            databases: [database(Region::Eu)?, database(Region::Us)?],
            kafka: Region::ALL.map(kafka),
            provider: format!("http://127.0.0.1:{}", one("global", "psp")?),
        })
    }

    /// Connects to a region's database as the superuser.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn connect(&self, region: Region) -> Result<PgConnection> {
        self.connect_to(region, MARKET).await
    }

    /// Connects to another database of a region's server as the superuser.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn connect_to(&self, region: Region, database: &str) -> Result<PgConnection> {
        let options = self.databases[region as usize].clone().database(database);
        options.connect().await.with_context(|| format!("connect to {region}'s database {database}"))
    }

    /// Addresses of a region's brokers.
    #[must_use]
    pub fn kafka(&self, region: Region) -> &str {
        &self.kafka[region as usize]
    }
}
