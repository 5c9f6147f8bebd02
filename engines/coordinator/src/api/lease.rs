//! Leases: granted and revoked through the log, kept alive by the leader.

use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::{Api, kv::expect_reply};
use crate::{
    Refusal,
    wire::{
        coordinator::v1::{Reply, command::Change, reply},
        etcdserverpb::{
            LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest, LeaseLeasesResponse,
            LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, lease_server::Lease,
        },
    },
};

/// Longest TTL, as etcd has it.
const LONGEST: i64 = 9_000_000_000;

impl Api {
    /// Shortest TTL in seconds: a leader must be able to be lost and replaced within it.
    fn shortest(&self) -> i64 {
        let millis = self.node.options().election_timeout.as_millis() * 3;
        i64::try_from(millis.div_ceil(1000)).unwrap_or(1)
    }

    async fn keep_alive(&self, id: i64) -> Result<LeaseKeepAliveResponse, Status> {
        let ttl = self.node.keep_alive(id).await?;
        let header = Some(self.node.header(self.node.state().mvcc().revision()));
        Ok(LeaseKeepAliveResponse { header, id, ttl })
    }
}

#[tonic::async_trait]
impl Lease for Api {
    async fn lease_grant(&self, request: Request<LeaseGrantRequest>) -> Result<Response<LeaseGrantResponse>, Status> {
        let mut request = request.into_inner();
        if request.ttl > LONGEST {
            return Err(Refusal::LeaseTooLong.into());
        }
        request.ttl = request.ttl.max(self.shortest());
        if request.id == 0 {
            // Every site must give the lease the same id, so it is drawn before the log.
            request.id = rand::random_range(1..i64::MAX);
        }
        let mut response = expect_reply!(self.node.propose(Change::Grant(request)).await?, Grant)?;
        self.node.complete(&mut response.header);
        Ok(Response::new(response))
    }

    async fn lease_revoke(&self, request: Request<LeaseRevokeRequest>) -> Result<Response<LeaseRevokeResponse>, Status> {
        let mut response = expect_reply!(self.node.propose(Change::Revoke(request.into_inner())).await?, Revoke)?;
        self.node.complete(&mut response.header);
        Ok(Response::new(response))
    }

    type LeaseKeepAliveStream = Pin<Box<dyn Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send>>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let api = self.clone();
        let answers = request.into_inner().take_until(self.shutdown.clone().cancelled_owned()).then(move |request| {
            let api = api.clone();
            async move { api.keep_alive(request?.id).await }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(&self, request: Request<LeaseTimeToLiveRequest>) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let request = request.into_inner();
        let ttl = self.node.time_to_live(request.id).await?;
        self.node.linearize().await?;
        let mvcc = self.node.state().mvcc();
        let header = Some(self.node.header(mvcc.revision()));
        let response = match mvcc.lease(request.id).filter(|_| ttl >= 0) {
            Some((granted_ttl, keys)) => {
                LeaseTimeToLiveResponse { header, id: request.id, ttl, granted_ttl, keys: if request.keys { keys } else { Vec::new() } }
            }
            None => LeaseTimeToLiveResponse { header, id: request.id, ttl: -1, ..LeaseTimeToLiveResponse::default() },
        };
        Ok(Response::new(response))
    }

    async fn lease_leases(&self, _: Request<LeaseLeasesRequest>) -> Result<Response<LeaseLeasesResponse>, Status> {
        self.node.linearize().await?;
        let mvcc = self.node.state().mvcc();
        let leases = mvcc.leases().map(|(id, _)| LeaseStatus { id }).collect();
        Ok(Response::new(LeaseLeasesResponse { header: Some(self.node.header(mvcc.revision())), leases }))
    }
}
