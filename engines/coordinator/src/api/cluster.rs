//! Members: who belongs to the cluster.

use tonic::{Request, Response, Status};

use super::Api;
use crate::{
    Refusal,
    wire::{
        coordinator::v1::{forward_request, forward_response},
        etcdserverpb::{
            Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
            MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse,
            cluster_server::Cluster,
        },
    },
};

impl Api {
    /// Has the leader change the membership, waits until this site knows, and gives all members.
    async fn change(&self, request: forward_request::Request) -> Result<(u64, Vec<Member>), Refusal> {
        let forward_response::Response::Member(id) = self.node.at_leader(request).await? else { return Err(Refusal::Unhealthy) };
        self.node.linearize().await?;
        Ok((id, self.node.members()))
    }
}

#[tonic::async_trait]
impl Cluster for Api {
    async fn member_add(&self, request: Request<MemberAddRequest>) -> Result<Response<MemberAddResponse>, Status> {
        let (id, members) = self.change(forward_request::Request::MemberAdd(request.into_inner())).await?;
        let member = members.iter().find(|member| member.id == id).cloned();
        let header = Some(self.node.header(self.node.state().mvcc().revision()));
        Ok(Response::new(MemberAddResponse { header, member, members }))
    }

    async fn member_remove(&self, request: Request<MemberRemoveRequest>) -> Result<Response<MemberRemoveResponse>, Status> {
        let (_, members) = self.change(forward_request::Request::MemberRemove(request.into_inner())).await?;
        let header = Some(self.node.header(self.node.state().mvcc().revision()));
        Ok(Response::new(MemberRemoveResponse { header, members }))
    }

    async fn member_update(&self, request: Request<MemberUpdateRequest>) -> Result<Response<MemberUpdateResponse>, Status> {
        let (_, members) = self.change(forward_request::Request::MemberUpdate(request.into_inner())).await?;
        let header = Some(self.node.header(self.node.state().mvcc().revision()));
        Ok(Response::new(MemberUpdateResponse { header, members }))
    }

    async fn member_list(&self, request: Request<MemberListRequest>) -> Result<Response<MemberListResponse>, Status> {
        if request.into_inner().linearizable {
            self.node.linearize().await?;
        }
        let header = Some(self.node.header(self.node.state().mvcc().revision()));
        Ok(Response::new(MemberListResponse { header, members: self.node.members() }))
    }

    async fn member_promote(&self, request: Request<MemberPromoteRequest>) -> Result<Response<MemberPromoteResponse>, Status> {
        let (_, members) = self.change(forward_request::Request::MemberPromote(request.into_inner())).await?;
        let header = Some(self.node.header(self.node.state().mvcc().revision()));
        Ok(Response::new(MemberPromoteResponse { header, members }))
    }
}
