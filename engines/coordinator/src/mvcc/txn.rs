//! Transactions, and what can be said of a request before it is carried out.

use bytes::Bytes;

use super::{Mvcc, Step, Version, read::holds};
use crate::{
    Refusal,
    wire::etcdserverpb::{
        Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
        compare::{CompareResult, CompareTarget, TargetUnion},
        range_request::{SortOrder, SortTarget},
        request_op::Request,
        response_op::Response,
    },
};

/// Operations a transaction may have, as etcd has it by default.
const MAX_OPS: usize = 128;

/// # Errors
/// When the request makes no sense in any state.
pub fn check_range(request: &RangeRequest) -> Result<(), Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    if SortOrder::try_from(request.sort_order).is_err() || SortTarget::try_from(request.sort_target).is_err() {
        return Err(Refusal::InvalidSort);
    }
    Ok(())
}

/// # Errors
/// When the request makes no sense in any state.
pub fn check_put(request: &PutRequest) -> Result<(), Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(Refusal::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Refusal::LeaseProvided);
    }
    Ok(())
}

/// # Errors
/// When the request makes no sense in any state.
pub fn check_delete(request: &DeleteRangeRequest) -> Result<(), Refusal> {
    if request.key.is_empty() { Err(Refusal::EmptyKey) } else { Ok(()) }
}

/// # Errors
/// When the request makes no sense in any state: too many operations, or a key that is changed twice.
pub fn check_txn(request: &TxnRequest) -> Result<(), Refusal> {
    check_ops(request, MAX_OPS)?;
    Written::of(&request.success)?;
    Written::of(&request.failure)?;
    Ok(())
}

fn check_ops(request: &TxnRequest, most: usize) -> Result<(), Refusal> {
    let ops = request.compare.len().max(request.success.len()).max(request.failure.len());
    if ops > most {
        return Err(Refusal::TooManyOps);
    }
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Refusal::EmptyKey);
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(Request::RequestRange(range)) => check_range(range)?,
            Some(Request::RequestPut(put)) => check_put(put)?,
            Some(Request::RequestDeleteRange(delete)) => check_delete(delete)?,
            Some(Request::RequestTxn(txn)) => check_ops(txn, most - ops)?,
            // What an operation of another kind is, etcd says like this, too.
            None => return Err(Refusal::KeyNotFound),
        }
    }
    Ok(())
}

/// The keys and ranges that a list of operations changes.
#[derive(Default)]
struct Written<'a> {
    puts: Vec<&'a Bytes>,
    deletes: Vec<(&'a Bytes, &'a Bytes)>,
}

impl<'a> Written<'a> {
    /// # Errors
    /// When a key is put twice, or put and deleted.
    fn of(ops: &'a [RequestOp]) -> Result<Self, Refusal> {
        let mut written = Self::default();
        for op in ops {
            if let Some(Request::RequestDeleteRange(delete)) = &op.request {
                written.deletes.push((&delete.key, &delete.range_end));
            }
        }
        for op in ops {
            if let Some(Request::RequestTxn(txn)) = &op.request {
                // Only one of the two branches is taken, so they may write the same keys.
                let (then, other) = (Self::of(&txn.success)?, Self::of(&txn.failure)?);
                written.refuse(&then)?;
                written.refuse(&other)?;
                for branch in [then, other] {
                    let new = branch.puts.into_iter().filter(|key| !written.puts.contains(key)).collect::<Vec<_>>();
                    written.puts.extend(new);
                    written.deletes.extend(branch.deletes);
                }
            }
        }
        for op in ops {
            if let Some(Request::RequestPut(put)) = &op.request {
                written.refuse(&Self { puts: vec![&put.key], deletes: Vec::new() })?;
                written.puts.push(&put.key);
            }
        }
        Ok(written)
    }

    fn refuse(&self, other: &Self) -> Result<(), Refusal> {
        let deleted = |deletes: &[(&Bytes, &Bytes)], key: &Bytes| deletes.iter().any(|(from, end)| holds(from, end, key));
        let twice = other.puts.iter().any(|key| self.puts.contains(key) || deleted(&self.deletes, key))
            || self.puts.iter().any(|key| deleted(&other.deletes, key));
        if twice { Err(Refusal::DuplicateKey) } else { Ok(()) }
    }
}

/// Whether a transaction changes nothing, whichever branch it takes.
#[must_use]
pub fn is_read_only(request: &TxnRequest) -> bool {
    request.success.iter().chain(&request.failure).all(|op| match &op.request {
        Some(Request::RequestRange(_)) => true,
        Some(Request::RequestTxn(txn)) => is_read_only(txn),
        _ => false,
    })
}

impl Mvcc {
    pub(super) fn txn(&mut self, request: TxnRequest) -> Result<TxnResponse, Refusal> {
        self.allow(&request)?;
        let mut step = self.step();
        let mut response = self.txn_in(&mut step, request);
        self.end(&step);
        response.header = self.header();
        Ok(response)
    }

    /// Carries out a transaction that changes nothing.
    ///
    /// # Errors
    /// When it reads at a revision that is gone or has not been yet.
    pub fn read_txn(&self, request: &TxnRequest) -> Result<TxnResponse, Refusal> {
        self.allow(request)?;
        let mut response = self.read_txn_in(request);
        response.header = self.header();
        Ok(response)
    }

    fn read_txn_in(&self, request: &TxnRequest) -> TxnResponse {
        let (succeeded, ops) = self.branch(request);
        let responses = ops.iter().map(|op| {
            let response = match &op.request {
                Some(Request::RequestRange(range)) => Some(self.range_op(self.revision, range)),
                Some(Request::RequestTxn(txn)) => Some(Response::ResponseTxn(self.read_txn_in(txn))),
                _ => None,
            };
            ResponseOp { response }
        });
        TxnResponse { header: None, succeeded, responses: responses.collect() }
    }

    fn branch<'a>(&self, request: &'a TxnRequest) -> (bool, &'a [RequestOp]) {
        let succeeded = request.compare.iter().all(|compare| self.holds(compare));
        (succeeded, if succeeded { &request.success } else { &request.failure })
    }

    /// What only the state can tell: the branch that is taken must be possible as a whole.
    fn allow(&self, request: &TxnRequest) -> Result<(), Refusal> {
        for op in self.branch(request).1 {
            match &op.request {
                Some(Request::RequestRange(range)) => {
                    self.readable(range.revision)?;
                }
                Some(Request::RequestPut(put)) => self.allow_put(put)?,
                Some(Request::RequestTxn(txn)) => self.allow(txn)?,
                Some(Request::RequestDeleteRange(_)) | None => {}
            }
        }
        Ok(())
    }

    /// A transaction that has been allowed. Every branch is chosen by the state before the transaction, as it was when it was allowed.
    fn txn_in(&mut self, step: &mut Step, request: TxnRequest) -> TxnResponse {
        let plan = self.plan(request);
        self.carry_out(step, plan)
    }

    fn plan(&self, request: TxnRequest) -> Plan {
        let succeeded = self.branch(&request).0;
        let ops = if succeeded { request.success } else { request.failure };
        let ops = ops.into_iter().map(|op| match op.request {
            Some(Request::RequestTxn(txn)) => Planned::Txn(self.plan(txn)),
            other => Planned::Op(other),
        });
        Plan { succeeded, ops: ops.collect() }
    }

    fn carry_out(&mut self, step: &mut Step, plan: Plan) -> TxnResponse {
        let mut responses = Vec::with_capacity(plan.ops.len());
        for op in plan.ops {
            let response = match op {
                Planned::Txn(plan) => Some(Response::ResponseTxn(self.carry_out(step, plan))),
                Planned::Op(Some(Request::RequestRange(range))) => {
                    let now = if step.sub > 0 { step.revision } else { self.revision };
                    Some(self.range_op(now, &range))
                }
                Planned::Op(Some(Request::RequestPut(put))) => {
                    let mut response = self.put_in(step, put);
                    response.header = at(step.revision);
                    Some(Response::ResponsePut(response))
                }
                Planned::Op(Some(Request::RequestDeleteRange(delete))) => {
                    let mut response = self.delete_range_in(step, &delete);
                    response.header = at(if step.sub > 0 { step.revision } else { self.revision });
                    Some(Response::ResponseDeleteRange(response))
                }
                Planned::Op(_) => None,
            };
            responses.push(ResponseOp { response });
        }
        TxnResponse { header: at(if step.sub > 0 { step.revision } else { self.revision }), succeeded: plan.succeeded, responses }
    }

    /// `now` is the revision that the transaction sees: its own once it has written.
    fn range_op(&self, now: i64, request: &RangeRequest) -> Response {
        let mut response = self.range_at(request, if request.revision > 0 { request.revision } else { now });
        response.header = at(now);
        Response::ResponseRange(response)
    }

    /// Whether a comparison holds for every key of its range.
    fn holds(&self, compare: &Compare) -> bool {
        let mut found = self.within(&compare.key, &compare.range_end).filter_map(|(_, history)| history.latest()).peekable();
        if found.peek().is_some() {
            return found.all(|version| compares(compare, Some(version)));
        }
        compares(compare, None)
    }
}

/// A transaction whose branches have been chosen.
struct Plan {
    succeeded: bool,
    ops: Vec<Planned>,
}

enum Planned {
    Op(Option<Request>),
    Txn(Plan),
}

fn at(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..ResponseHeader::default() })
}

/// A key that is not there has version, revisions and lease 0, and no value that could be compared.
fn compares(compare: &Compare, version: Option<&Version>) -> bool {
    let number = |of: fn(&Version) -> i64| version.map_or(0, of);
    let wanted = compare.target_union.as_ref();
    let order = match compare.target() {
        CompareTarget::Value => {
            let Some(value) = version.and_then(|version| version.value.as_ref()) else { return false };
            let wanted = if let Some(TargetUnion::Value(wanted)) = wanted { wanted.as_ref() } else { &[] };
            value.as_ref().cmp(wanted)
        }
        CompareTarget::Version => {
            number(|version| version.version).cmp(&if let Some(TargetUnion::Version(wanted)) = wanted { *wanted } else { 0 })
        }
        CompareTarget::Create => {
            number(|version| version.created).cmp(&if let Some(TargetUnion::CreateRevision(wanted)) = wanted { *wanted } else { 0 })
        }
        CompareTarget::Mod => {
            number(|version| version.modified).cmp(&if let Some(TargetUnion::ModRevision(wanted)) = wanted { *wanted } else { 0 })
        }
        CompareTarget::Lease => {
            number(|version| version.lease).cmp(&if let Some(TargetUnion::Lease(wanted)) = wanted { *wanted } else { 0 })
        }
    };
    match compare.result() {
        CompareResult::Equal => order.is_eq(),
        CompareResult::NotEqual => order.is_ne(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
    }
}
