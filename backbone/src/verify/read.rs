//! Gathers the facts, from wherever the state file says that the engines are.

mod journal;
mod market;
mod provider;
mod spine;

use anyhow::{Context as _, Result};
use ids::Region;

use self::market::Snapshot;
use super::{
    facts::{Acknowledged, Facts, Millis},
    finding::Findings,
};
use crate::sources::Sources;

pub use journal::read as journal;

/// Rows of services are kept for a day, and this is surely within it.
const KEPT: Millis = 23 * 3600 * 1000;

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
    let mut shelves = Vec::new();
    for region in Region::ALL {
        progress(&format!("{region}'s database"));
        let mut snapshot = Snapshot::begin(sources.connect(region).await?).await?;
        let read = async { anyhow::Ok((snapshot.side(scope).await?, snapshot.shelves().await.context("stock")?)) };
        let (side, held) = read.await.with_context(|| format!("read {region}'s database"))?;
        *facts.side_mut(region) = side;
        shelves.extend(held);
    }
    for home in Region::ALL {
        // While a home changes hands both regions may think that they hold it: the later epoch is right.
        let held = shelves.iter().enumerate().filter(|(_, held)| held.home == home).max_by_key(|(_, held)| held.epoch);
        let place = held.map(|(place, _)| place).with_context(|| format!("no region holds home {home} now"))?;
        facts.side_mut(home).shelf = shelves.swap_remove(place).shelf;
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
        let bootstrap = sources.kafka(region);
        let databases = [sources.connect(region).await?, sources.connect(region.peer()).await?];
        let mut reader = spine::Reader::new(region, bootstrap, databases, scope);
        reader.follow(findings, progress).await.with_context(|| format!("read {region}'s spine"))?;
    }
    Ok(())
}
