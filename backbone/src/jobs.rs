//! What is done once on the way up, between the starts of parts.

use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use ids::Region;

use crate::{
    engine::{Context, postgres::databases},
    mirror,
    plan::{Job, MIGRATED, Place},
    probe, seed, supervisor, topics,
};

/// Does one job.
///
/// # Errors
/// Why it could not be done.
pub async fn run(context: &Context, job: Job) -> Result<()> {
    match job {
        Job::Databases(region) => databases::ensure(context, region).await,
        Job::Migrations(region) => {
            try_join_all(MIGRATED.iter().map(|name| supervisor::run_once(context, region, name, "migrate"))).await.map(drop)
        }
        Job::Mirror => mirror::ensure(context).await,
        Job::Topics(region) => topics::ensure(context, region).await,
        Job::Catalog(region) => seed::put(context, region).await,
        Job::Shop => shop(context).await,
    }
}

/// Every door opens on an item: the edge and both regions' own.
async fn shop(context: &Context) -> Result<()> {
    let ports = context.plan.ports;
    let mut doors = vec![ports.url(Place::Global, "edge")];
    doors.extend(Region::ALL.map(|region| ports.url(Place::In(region), "bff")));
    let open = doors.iter().map(|door| probe::until(Duration::from_secs(60), Duration::from_millis(100), || probe::shop(door)));
    try_join_all(open).await.map(drop)
}
