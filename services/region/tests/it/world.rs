//! One site of the coordinator, a database for each region, and their region services.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use config::Secret;
use ids::Region;
use proto::region::v1::{FailoverRequest, GetStatusRequest, GetStatusResponse, Home, region_service_client::RegionServiceClient};
use sqlx::PgConnection;
use testkit::{Running, eventually, free_port, fresh_folder, postgres};
use tonic::transport::Channel;

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Beside the test, as cargo builds it for the whole workspace.
fn coordinator() -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_region")).with_file_name("coordinator");
    assert!(program.exists(), "{} is missing: build the whole workspace, or `cargo build --release -p coordinator`", program.display());
    program.display().to_string()
}

pub(crate) struct World {
    pub(crate) coordinator: Running,
    pub(crate) databases: [Secret; 2],
    services: [Option<Running>; 2],
    peers: [u16; 2],
}

impl World {
    /// Both regions, without a mirror between them.
    pub(crate) async fn new() -> Self {
        let data = fresh_folder("coordinator").display().to_string();
        let peer = format!("127.0.0.1:{}", free_port());
        let env = [("DATA_DIR", data.as_str()), ("PEER_LISTEN_ADDR", &peer)];
        let coordinator = Running::start(&coordinator(), &env).await;
        let server = postgres().await;
        let databases = [server.database_in(Region::Eu, "region").await, server.database_in(Region::Us, "region").await];
        for url in &databases {
            // As in a market that has just been made: nobody has said who holds what.
            let mut connection = server.superuser(url).await;
            let reset = "UPDATE region.homes SET holder = home, valid_until = '-infinity'";
            sqlx::query(reset).execute(&mut connection).await.expect("the homes are reset");
        }
        Self { coordinator, databases, services: [None, None], peers: [free_port(), free_port()] }
    }

    /// Starts a region's service.
    pub(crate) async fn start(&mut self, region: Region) {
        let peer = format!("http://127.0.0.1:{}", self.peers[region.peer() as usize]);
        let env = [
            ("REGION", region.as_str()),
            ("DATABASE_URL", self.databases[region as usize].expose()),
            ("COORDINATOR_ADDRS", &self.coordinator.address()),
            ("PEER_REGION_ADDR", &peer),
            ("TAKEOVER_AFTER_START", "1s"),
        ];
        self.services[region as usize] = Some(Running::start(env!("CARGO_BIN_EXE_region"), &env).await);
    }

    pub(crate) fn kill(&mut self, region: Region) {
        self.services[region as usize] = None;
    }

    pub(crate) async fn superuser(&self, region: Region) -> PgConnection {
        postgres().await.superuser(&self.databases[region as usize]).await
    }

    pub(crate) async fn client(&self, region: Region) -> RegionServiceClient<Channel> {
        let service = self.services[region as usize].as_ref().expect("it runs");
        RegionServiceClient::connect(service.address()).await.expect("it answers")
    }

    pub(crate) async fn status(&self, region: Region) -> GetStatusResponse {
        self.client(region).await.get_status(GetStatusRequest {}).await.expect("an answer").into_inner()
    }

    /// Waits until a region may write a home.
    pub(crate) async fn writes(&self, region: Region, home: Region) -> Home {
        eventually("the home can be written", SOON, async || {
            let status = self.status(region).await;
            let held = status.homes.iter().find(|held| held.home() == home.into()).copied();
            held.filter(|held| held.holder() == region.into() && held.valid_ms > 0).ok_or_else(|| format!("{status:?}"))
        })
        .await
    }

    pub(crate) async fn failover(&self, to: Region, home: Region, force: bool) -> Result<Home, tonic::Status> {
        let home = proto::market::v1::Region::from(home).into();
        let answer = self.client(to).await.failover(FailoverRequest { home, force }).await?;
        Ok(answer.into_inner().home.expect("a home"))
    }

    /// Until when a region's database takes writes of a home, from now, in seconds; negative when it does not.
    pub(crate) async fn open_for(&self, region: Region, home: Region) -> f64 {
        let mut connection = self.superuser(region).await;
        let sql = "SELECT CASE WHEN holder = region.self() THEN extract(epoch FROM valid_until - clock_timestamp())::float8 ELSE -1 END
            FROM region.homes WHERE home = $1";
        sqlx::query_scalar(sql).bind(home.as_str()).fetch_one(&mut connection).await.expect("a row")
    }

    /// Watches for a while that not both databases take writes of a home.
    pub(crate) async fn never_both(&self, home: Region, lasts: Duration) {
        let end = Instant::now() + lasts;
        while Instant::now() < end {
            let (eu, us) = (self.open_for(Region::Eu, home).await, self.open_for(Region::Us, home).await);
            // The second is asked a moment after the first.
            assert!(eu <= 0.1 || us <= 0.0, "{home} is written in both regions: {eu} {us}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
