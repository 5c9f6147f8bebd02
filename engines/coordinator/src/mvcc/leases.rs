//! Leases as the log knows them: an id, a TTL and the keys that end with it. When that is, the leader's [`crate::Lessor`] decides.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Mvcc;
use crate::{
    Refusal,
    wire::etcdserverpb::{LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeResponse},
};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    /// Seconds.
    ttl: i64,
    keys: BTreeSet<Bytes>,
}

impl Mvcc {
    pub(super) fn grant(&mut self, request: &LeaseGrantRequest) -> Result<LeaseGrantResponse, Refusal> {
        if self.leases.contains_key(&request.id) {
            return Err(Refusal::LeaseExists);
        }
        self.leases.insert(request.id, Lease { ttl: request.ttl, keys: BTreeSet::new() });
        Ok(LeaseGrantResponse { header: self.header(), id: request.id, ttl: request.ttl, error: String::new() })
    }

    /// Its keys go with it, in one revision.
    pub(super) fn revoke(&mut self, id: i64) -> Result<LeaseRevokeResponse, Refusal> {
        let lease = self.leases.remove(&id).ok_or(Refusal::LeaseNotFound)?;
        let mut step = self.step();
        for key in &lease.keys {
            self.bury(&mut step, key, 0);
        }
        self.end(&step);
        Ok(LeaseRevokeResponse { header: self.header() })
    }

    pub(super) fn move_lease(&mut self, key: &Bytes, from: i64, to: i64) {
        if from == to {
            return;
        }
        if let Some(lease) = self.leases.get_mut(&from) {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.leases.get_mut(&to) {
            lease.keys.insert(key.clone());
        }
    }

    /// All leases with their TTL in seconds.
    pub fn leases(&self) -> impl Iterator<Item = (i64, i64)> {
        self.leases.iter().map(|(id, lease)| (*id, lease.ttl))
    }

    /// TTL in seconds and keys of a lease.
    #[must_use]
    pub fn lease(&self, id: i64) -> Option<(i64, Vec<Bytes>)> {
        self.leases.get(&id).map(|lease| (lease.ttl, lease.keys.iter().cloned().collect()))
    }
}
