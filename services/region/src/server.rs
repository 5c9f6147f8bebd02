//! Wiring: the coordinator's client, the database, the keeper, RPCs, health.

use std::time::{Duration, Instant};

use ids::Region;
use lease::Etcd;
use proto::region::v1::{region_peer_service_server::RegionPeerServiceServer, region_service_server::RegionServiceServer};
use rpc::{Grpc, Process, Readiness, process::Fatal};

use crate::{
    api::Api,
    config::Config,
    keeping::{self, Standing, World},
    metrics,
    peer::Peer,
    store::Database,
};

/// A coordinator that was not seen for longer is away.
const SEEN: Duration = Duration::from_secs(3);

/// Runs the service until shutdown.
pub(crate) async fn run(config: Config, process: Process) -> Result<(), Fatal> {
    metrics::describe();
    let begun = Instant::now();
    let region = config.region;
    let database = Database::new(&config.database_url, region, begun)?;
    let etcd = Etcd::new(config.coordinators);
    let peer = config.peer.map(Peer::new);
    let world = World { region, etcd: etcd.clone(), database: database.clone(), peer: peer.clone(), timing: config.timing, begun };
    let (keeper, work) = keeping::prepare(world);
    let shutdown = process.shutdown.clone();
    process.spawn("keeper", async {
        work.run(shutdown).await;
        Ok(())
    });

    let api = Api { region, keeper: keeper.clone(), etcd, peer };
    let services = Grpc::default().with(RegionServiceServer::new(api.clone())).with(RegionPeerServiceServer::new(api));
    let (router, health) = services.finish();
    let (seen, held) = (keeper.clone(), keeper);
    let readiness = Readiness::default()
        .needs("postgres", move || database.clone().ping())
        .needs("coordinator", move || std::future::ready(coordinator(&seen.now())))
        .needs("home", move || std::future::ready(home(&held.now(), region)));
    process.serve(router, Some(health), readiness).await
}

fn coordinator(standing: &Standing) -> Result<(), String> {
    match standing.viewed {
        None => Err("it has not answered yet".to_owned()),
        Some(viewed) if standing.begun.elapsed().saturating_sub(viewed) > SEEN => Err(format!("it has not answered for {SEEN:?}")),
        Some(_) => Ok(()),
    }
}

/// The region's own home can be written: here, or in the other region while that holds it.
fn home(standing: &Standing, region: Region) -> Result<(), String> {
    match standing.homes[region as usize] {
        None => Err("nobody has held it yet".to_owned()),
        Some(home) if home.record.holder == region && !standing.writes(region) => Err("it is this region's, and not held".to_owned()),
        Some(home) if home.record.holder != region && !home.is_alive => Err("the other region has it, and is gone".to_owned()),
        Some(_) => Ok(()),
    }
}
