//! The glue between openraft and this engine: what its log, its state machine and its network are made of.

pub(crate) mod frame;
mod log;
mod machine;
mod network;
mod peer;
mod snapshot;

use std::fmt;

use bytes::Bytes;
use openraft::{
    alias::{EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf},
    impls::leader_id_std,
};
use prost::Message as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

pub(crate) use self::{
    log::Log,
    machine::{Machine, State},
    network::{Heard, Peers},
    peer::Peer,
    snapshot::{Body, Snapshots},
};
use crate::{Refusal, wire::coordinator::v1::Reply};

#[cfg(not(test))]
type Runtime = openraft::TokioRuntime;
/// In tests Raft's dice can be loaded.
#[cfg(test)]
type Runtime = crate::simulation::Loaded;

openraft::declare_raft_types!(
    /// What Raft is made of here: one leader a term, sites numbered by their peer address.
    pub(crate) Types:
        D = Change,
        R = Answer,
        NodeId = u64,
        Node = Site,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = Runtime,
);

pub(crate) use self::network::MESSAGE;

/// The Raft of this engine.
pub(crate) type Raft = openraft::Raft<Types, Machine>;
pub(crate) type Entry = EntryOf<Types>;
pub(crate) type LogId = LogIdOf<Types>;
pub(crate) type Vote = VoteOf<Types>;
pub(crate) type Membership = StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = SnapshotMetaOf<Types>;
pub(crate) type Snapshot = SnapshotOf<Types, Body>;

/// Where the other sites reach one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Site {
    /// Address for the other sites, e.g. `http://10.1.0.7:21380`.
    pub(crate) peer_url: String,
}

/// A command as the log holds it: an encoded `coordinator.v1.Command`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change(pub(crate) Bytes);

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Answer(pub(crate) Result<Reply, Refusal>);

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (refusal, reply) = match &self.0 {
            Ok(reply) => (0, reply.encode_to_vec()),
            Err(refusal) => (refusal.number(), Vec::new()),
        };
        (refusal, reply).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (refusal, reply) = <(u32, Vec<u8>)>::deserialize(deserializer)?;
        match refusal {
            0 => Ok(Self(Ok(Reply::decode(reply.as_slice()).map_err(D::Error::custom)?))),
            number => Ok(Self(Err(Refusal::numbered(number)))),
        }
    }
}
