//! The other region's region service, through the link between them.

use std::time::Duration;

use ids::Region;
use lease::{PeerLook, Time};
use proto::region::v1::{GetStandingRequest, GetStandingResponse, HandOverRequest, region_peer_service_client::RegionPeerServiceClient};
use rpc::{Client, ServiceConfig};
use tokio::time::sleep;
use tonic::{Request, Status, transport::Endpoint};

const CALL: Duration = Duration::from_millis(1500);
/// A handover takes some hundred milliseconds, or is given up after two seconds.
const HANDOVER: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

/// The peer. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Peer(RegionPeerServiceClient<Client>);

impl Peer {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self(RegionPeerServiceClient::new(Client::new([endpoint], ServiceConfig::for_probes())))
    }

    async fn standing(&self) -> Result<GetStandingResponse, Status> {
        let mut request = Request::new(GetStandingRequest {});
        request.set_timeout(CALL);
        self.0.clone().get_standing(request).await.map(tonic::Response::into_inner)
    }

    /// How it stands.
    pub(crate) async fn look(&self, at: Time) -> Result<PeerLook, Status> {
        let standing = self.standing().await?;
        let mut rows = [None; 2];
        for told in &standing.homes {
            if let (Ok(home), Ok(holder)) = (Region::try_from(told.home()), Region::try_from(told.holder())) {
                rows[home as usize] = Some((holder, told.epoch));
            }
        }
        Ok(PeerLook { at, is_ready: standing.ready, rows })
    }

    /// Returns when this region has confirmed all that the peer has written up to now.
    pub(crate) async fn catch_up(&self) -> Result<(), Status> {
        let position = self.standing().await?.position;
        while self.standing().await?.confirmed < position {
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Asks for a home.
    pub(crate) async fn hand_over(&self, home: Region, pinned: bool) -> Result<(), Status> {
        let home = proto::market::v1::Region::from(home).into();
        let mut request = Request::new(HandOverRequest { home, pinned });
        request.set_timeout(HANDOVER);
        self.0.clone().hand_over(request).await.map(drop)
    }
}
