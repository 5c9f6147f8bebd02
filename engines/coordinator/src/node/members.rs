//! Who belongs to the cluster, and how that changes: always by joint consensus, one change at a time.

use std::collections::{BTreeMap, BTreeSet};

use openraft::{
    ChangeMembers,
    async_runtime::watch::WatchReceiver as _,
    errors::{ChangeMembershipError, ClientWriteError, RaftError},
};

use super::{Node, site_id};
use crate::{
    Refusal,
    raft::Site,
    wire::etcdserverpb::{Member, MemberAddRequest, MemberUpdateRequest},
};

/// A learner may be promoted when it has this share of the leader's log, in percent; as etcd has it.
const IN_SYNC: u64 = 90;

impl Node {
    /// All sites, as this one knows them.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let metrics = self.raft().server_metrics();
        let membership = metrics.borrow_watched().membership_config.clone();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let mvcc = self.state().mvcc();
        let members = membership.nodes().map(|(id, site)| {
            let published = mvcc.published().get(id).cloned().unwrap_or_default();
            Member {
                id: *id,
                name: published.name,
                peer_ur_ls: vec![site.peer_url.clone()],
                client_ur_ls: published.client_urls,
                is_learner: !voters.contains(id),
            }
        });
        members.collect()
    }

    pub(super) async fn add_member(&self, request: &MemberAddRequest) -> Result<u64, Refusal> {
        let [url] = request.peer_ur_ls.as_slice() else { return Err(Refusal::BadPeerUrls) };
        if !is_url(url) {
            return Err(Refusal::BadPeerUrls);
        }
        if self.members().iter().any(|member| member.peer_ur_ls.contains(url)) {
            return Err(Refusal::PeerUrlExists);
        }
        let (id, site) = (site_id(url), Site { peer_url: url.clone() });
        let nodes = BTreeMap::from([(id, site)]);
        let change = if request.is_learner { ChangeMembers::AddNodes(nodes) } else { ChangeMembers::AddVoters(nodes) };
        self.change(change, true).await.map(|()| id)
    }

    pub(super) async fn promote_member(&self, id: u64) -> Result<u64, Refusal> {
        let member = self.member(id)?;
        if !member.is_learner {
            return Err(Refusal::MemberNotLearner);
        }
        let metrics = self.raft().metrics().borrow_watched().clone();
        let matched = metrics
            .replication
            .as_ref()
            .and_then(|sites| sites.get(&id))
            .and_then(|log_id| log_id.as_ref())
            .map_or(0, |log_id| log_id.index);
        if matched * 100 < metrics.last_log_index.unwrap_or(0) * IN_SYNC {
            return Err(Refusal::LearnerNotReady);
        }
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([id])), true).await.map(|()| id)
    }

    pub(super) async fn remove_member(&self, id: u64) -> Result<u64, Refusal> {
        let member = self.member(id)?;
        let ids = BTreeSet::from([id]);
        let change = if member.is_learner { ChangeMembers::RemoveNodes(ids) } else { ChangeMembers::RemoveVoters(ids) };
        self.change(change, false).await.map(|()| id)
    }

    pub(super) async fn update_member(&self, request: &MemberUpdateRequest) -> Result<u64, Refusal> {
        let [url] = request.peer_ur_ls.as_slice() else { return Err(Refusal::BadPeerUrls) };
        if !is_url(url) {
            return Err(Refusal::BadPeerUrls);
        }
        let member = self.member(request.id)?;
        if self.members().iter().any(|other| other.id != member.id && other.peer_ur_ls.contains(url)) {
            return Err(Refusal::PeerUrlExists);
        }
        let nodes = BTreeMap::from([(request.id, Site { peer_url: url.clone() })]);
        self.change(ChangeMembers::SetNodes(nodes), true).await.map(|()| request.id)
    }

    fn member(&self, id: u64) -> Result<Member, Refusal> {
        self.members().into_iter().find(|member| member.id == id).ok_or(Refusal::MemberNotFound)
    }

    async fn change(&self, change: ChangeMembers<u64, Site>, retain: bool) -> Result<(), Refusal> {
        match self.unless_alone(self.raft().change_membership(change, retain)).await? {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => Err(Refusal::NotLeader),
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(ChangeMembershipError::LearnerNotFound(_)))) => {
                Err(Refusal::MemberNotFound)
            }
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => {
                tracing::warn!(%error, "membership not changed");
                Err(Refusal::Unhealthy)
            }
            Err(RaftError::APIError(_)) => Err(Refusal::LeaderChanged),
            Err(RaftError::Fatal(_)) => Err(Refusal::Stopped),
        }
    }
}

fn is_url(url: &str) -> bool {
    url.parse::<tonic::transport::Uri>().is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.port().is_some())
}
