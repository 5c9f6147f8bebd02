//! Changes of homes: all of what is written, or nothing if a check does not hold.

use ids::Region;

use crate::{
    record::{Key, Record},
    wire::etcdserverpb::{
        Compare, DeleteRangeRequest, PutRequest, RequestOp, TxnRequest,
        compare::{CompareResult, CompareTarget, TargetUnion},
        request_op::Request,
    },
};

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// There is no such key.
    Absent(Key),
    /// The key was last changed at this revision.
    Revision(Key, i64),
    /// The key is there under this lease.
    Under(Key, i64),
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// A home's record.
    Record(Region, Record),
    /// The key that shows that a home's holder lives, under its lease.
    Lease {
        /// Which home.
        home: Region,
        /// Who holds it.
        holder: Region,
        /// The lease.
        lease: i64,
    },
    /// That key goes.
    Release(Region),
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Txn {
    /// All of this must hold.
    pub checks: Vec<Check>,
    /// Then all of this is written.
    pub writes: Vec<Write>,
}

impl Txn {
    pub(crate) fn request(&self) -> TxnRequest {
        TxnRequest {
            compare: self.checks.iter().map(compare).collect(),
            success: self.writes.iter().map(|write| RequestOp { request: Some(operation(write)) }).collect(),
            failure: Vec::new(),
        }
    }
}

fn compare(check: &Check) -> Compare {
    let (key, target, target_union) = match *check {
        Check::Absent(key) => (key, CompareTarget::Create, TargetUnion::CreateRevision(0)),
        Check::Revision(key, revision) => (key, CompareTarget::Mod, TargetUnion::ModRevision(revision)),
        Check::Under(key, lease) => (key, CompareTarget::Lease, TargetUnion::Lease(lease)),
    };
    Compare {
        result: CompareResult::Equal.into(),
        target: target.into(),
        key: key.path().into(),
        target_union: Some(target_union),
        ..Compare::default()
    }
}

fn operation(write: &Write) -> Request {
    match *write {
        Write::Record(home, record) => {
            let value = serde_json::to_vec(&record).expect("a record is JSON");
            Request::RequestPut(PutRequest { key: Key::Record(home).path().into(), value: value.into(), ..PutRequest::default() })
        }
        Write::Lease { home, holder, lease } => Request::RequestPut(PutRequest {
            key: Key::Lease(home).path().into(),
            value: holder.as_str().as_bytes().into(),
            lease,
            ..PutRequest::default()
        }),
        Write::Release(home) => {
            Request::RequestDeleteRange(DeleteRangeRequest { key: Key::Lease(home).path().into(), ..DeleteRangeRequest::default() })
        }
    }
}
