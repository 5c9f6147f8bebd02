//! Gathers the facts, from wherever the state file says that the engines are.

mod journal;
mod market;
mod provider;
mod spine;

use anyhow::{Context as _, Result, bail};
use ids::Region;
use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};

use self::market::Snapshot;
use super::{
    facts::{Acknowledged, Facts, Millis},
    finding::Findings,
};
use crate::{
    engine::postgres::databases::MARKET,
    home::Home,
    state::{PartEntry, State},
};

pub use journal::read as journal;

/// Rows of services are kept for a day, and this is surely within it.
const KEPT: Millis = 23 * 3600 * 1000;

/// Where everything is.
#[derive(Debug)]
pub struct Sources {
    databases: [PgConnectOptions; 2],
    kafka: [String; 2],
    provider: String,
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

    async fn connect(&self, region: Region) -> Result<PgConnection> {
        self.databases[region as usize].connect().await.with_context(|| format!("connect to {region}'s database"))
    }
}

/// What to judge.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// Nothing older.
    pub since: Millis,
    /// Nothing younger.
    pub horizon: Millis,
}

impl Scope {
    /// Since when rows that are kept for a day are all there.
    fn kept_since(self) -> Millis {
        self.since.max(self.horizon - KEPT)
    }
}

/// Reads everything but the spine. `progress` hears what is read now.
///
/// # Errors
/// What cannot be read.
pub async fn facts(sources: &Sources, scope: Scope, journal: &[Acknowledged], progress: &impl Fn(&str)) -> Result<Facts> {
    let mut facts = Facts { horizon: scope.horizon, since: scope.since, keys_since: scope.kept_since(), ..Facts::default() };
    facts.journal = journal.to_vec();
    for region in Region::ALL {
        progress(&format!("{region}'s database"));
        let mut snapshot = Snapshot::begin(sources.connect(region).await?).await?;
        *facts.side_mut(region) = snapshot.side(scope).await.with_context(|| format!("read {region}'s database"))?;
    }
    progress("the provider's list");
    facts.charges = provider::charges(&sources.provider).await.context("read the provider's list of charges")?;
    Ok(facts)
}

/// Follows the spine of both regions through.
///
/// # Errors
/// What cannot be read.
pub async fn spine(sources: &Sources, scope: Scope, findings: &mut Findings, progress: &impl Fn(&str)) -> Result<()> {
    for region in Region::ALL {
        let bootstrap = &sources.kafka[region as usize];
        if bootstrap.is_empty() {
            bail!("there is no {region}/kafka");
        }
        let mut reader = spine::Reader::new(region, bootstrap, sources.connect(region).await?, scope);
        reader.follow(findings, progress).await.with_context(|| format!("read {region}'s spine"))?;
    }
    Ok(())
}
