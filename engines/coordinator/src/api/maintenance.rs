//! Looking after a site.

use std::pin::Pin;

use bytes::Bytes;
use futures::Stream;
use openraft::async_runtime::watch::WatchReceiver as _;
use tonic::{Request, Response, Status};

use super::Api;
use crate::{
    Refusal,
    wire::etcdserverpb::{
        AlarmMember, AlarmRequest, AlarmResponse, AlarmType, DefragmentRequest, DefragmentResponse, DowngradeRequest, DowngradeResponse,
        HashKvRequest, HashKvResponse, HashRequest, HashResponse, MoveLeaderRequest, MoveLeaderResponse, SnapshotRequest, SnapshotResponse,
        StatusRequest, StatusResponse, alarm_request::AlarmAction, maintenance_server::Maintenance,
    },
};

/// The version of etcd whose API this is, and then our own.
const VERSION: &str = concat!("3.6.0+coordinator.", env!("CARGO_PKG_VERSION"));
/// Bytes of a snapshot in one message.
const CHUNK: usize = 64 << 10;

#[tonic::async_trait]
impl Maintenance for Api {
    /// The only alarm is that of space, and it is there as long as its cause; there is nothing to switch off.
    async fn alarm(&self, request: Request<AlarmRequest>) -> Result<Response<AlarmResponse>, Status> {
        if request.into_inner().action() == AlarmAction::Activate {
            return Err(Status::unimplemented("alarms come and go with their cause"));
        }
        let alarms = if self.node.is_full() {
            vec![AlarmMember { member_id: self.node.id(), alarm: AlarmType::Nospace.into() }]
        } else {
            Vec::new()
        };
        let header = Some(self.node.header(self.node.state().mvcc().revision()));
        Ok(Response::new(AlarmResponse { header, alarms }))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let metrics = self.node.raft().metrics().borrow_watched().clone();
        let (revision, size) = {
            let mvcc = self.node.state().mvcc();
            (mvcc.revision(), i64::try_from(mvcc.size()).unwrap_or(i64::MAX))
        };
        let leader = metrics.current_leader;
        let is_learner = self.node.members().iter().any(|member| member.id == self.node.id() && member.is_learner);
        Ok(Response::new(StatusResponse {
            header: Some(self.node.header(revision)),
            version: VERSION.to_owned(),
            db_size: size,
            leader: leader.unwrap_or(0),
            raft_index: metrics.last_log_index.unwrap_or(0),
            raft_term: metrics.current_term,
            raft_applied_index: metrics.last_applied.map_or(0, |log_id| log_id.index),
            errors: leader.is_none().then(|| Refusal::NoLeader.to_string()).into_iter().collect(),
            db_size_in_use: size,
            is_learner,
            storage_version: String::new(),
            db_size_quota: i64::try_from(self.node.options().quota).unwrap_or(i64::MAX),
            downgrade_info: None,
        }))
    }

    /// The state lives in memory and its log in segments that are removed whole, so there are no holes to close.
    async fn defragment(&self, _: Request<DefragmentRequest>) -> Result<Response<DefragmentResponse>, Status> {
        Ok(Response::new(DefragmentResponse { header: Some(self.node.header(self.node.state().mvcc().revision())) }))
    }

    async fn hash(&self, _: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        Err(Status::unimplemented("there is no file of all that could be hashed; HashKV compares sites"))
    }

    async fn hash_kv(&self, request: Request<HashKvRequest>) -> Result<Response<HashKvResponse>, Status> {
        let revision = request.into_inner().revision;
        let mvcc = self.node.state().mvcc();
        let hash = mvcc.hash(revision)?;
        let hash_revision = if revision > 0 { revision } else { mvcc.revision() };
        let header = Some(self.node.header(mvcc.revision()));
        Ok(Response::new(HashKvResponse { header, hash, compact_revision: mvcc.compacted(), hash_revision }))
    }

    type SnapshotStream = Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send>>;

    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        let (revision, bytes): (i64, Bytes) = self.node.snapshot().await?;
        let header = self.node.header(revision);
        let chunks = (0..bytes.len()).step_by(CHUNK).map(move |start| {
            let end = (start + CHUNK).min(bytes.len());
            Ok(SnapshotResponse {
                header: Some(header),
                remaining_bytes: (bytes.len() - end) as u64,
                blob: bytes.slice(start..end),
                version: VERSION.to_owned(),
            })
        });
        Ok(Response::new(Box::pin(futures::stream::iter(chunks))))
    }

    async fn move_leader(&self, request: Request<MoveLeaderRequest>) -> Result<Response<MoveLeaderResponse>, Status> {
        let target = request.into_inner().target_id;
        if self.node.leader() != Some(self.node.id()) {
            return Err(Refusal::NotLeader.into());
        }
        if !self.node.members().iter().any(|member| member.id == target && !member.is_learner) {
            return Err(Refusal::BadTransferee.into());
        }
        if target != self.node.id() {
            self.node.hand_over(target).await?;
        }
        Ok(Response::new(MoveLeaderResponse { header: Some(self.node.header(self.node.state().mvcc().revision())) }))
    }

    async fn downgrade(&self, _: Request<DowngradeRequest>) -> Result<Response<DowngradeResponse>, Status> {
        Err(Status::unimplemented("there is no older version to go back to"))
    }
}
