//! Keys: reads here once they are linearizable, changes through the log.

use prost::Message;
use tonic::{Request, Response, Status};

use super::{Api, REQUEST};
use crate::{
    Refusal,
    mvcc::{check_delete, check_put, check_range, check_txn, is_read_only},
    wire::{
        coordinator::v1::{Reply, command::Change, reply},
        etcdserverpb::{
            CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest,
            RangeResponse, RangeStreamResponse, RequestOp, TxnRequest, TxnResponse, kv_server::Kv, request_op,
        },
    },
};

fn check_size(request: &impl Message) -> Result<(), Refusal> {
    if request.encoded_len() > REQUEST { Err(Refusal::TooLarge) } else { Ok(()) }
}

/// Whether every read of a transaction is content with what this site has.
fn is_serializable(ops: &[RequestOp]) -> bool {
    ops.iter().all(|op| match &op.request {
        Some(request_op::Request::RequestRange(range)) => range.serializable,
        Some(request_op::Request::RequestTxn(txn)) => is_serializable(&txn.success) && is_serializable(&txn.failure),
        _ => false,
    })
}

/// Unwraps the reply to a command of one kind.
macro_rules! expect_reply {
    ($reply:expr, $kind:ident) => {
        match $reply {
            Reply { reply: Some(reply::Reply::$kind(response)) } => Ok(response),
            _ => Err(Refusal::Unhealthy),
        }
    };
}
pub(super) use expect_reply;

#[tonic::async_trait]
impl Kv for Api {
    type RangeStreamStream = futures::stream::Empty<Result<RangeStreamResponse, Status>>;

    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        let request = request.into_inner();
        check_range(&request)?;
        if !request.serializable {
            self.node.linearize().await?;
        }
        let mut response = self.node.state().mvcc().range(&request)?;
        self.node.complete(&mut response.header);
        Ok(Response::new(response))
    }

    async fn range_stream(&self, _: Request<RangeRequest>) -> Result<Response<Self::RangeStreamStream>, Status> {
        Err(Status::unimplemented("ranges are not streamed; ask for them with a limit"))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let request = request.into_inner();
        check_put(&request)?;
        check_size(&request)?;
        let mut response = expect_reply!(self.node.propose(Change::Put(request)).await?, Put)?;
        self.node.complete(&mut response.header);
        Ok(Response::new(response))
    }

    async fn delete_range(&self, request: Request<DeleteRangeRequest>) -> Result<Response<DeleteRangeResponse>, Status> {
        let request = request.into_inner();
        check_delete(&request)?;
        check_size(&request)?;
        let mut response = expect_reply!(self.node.propose(Change::DeleteRange(request)).await?, DeleteRange)?;
        self.node.complete(&mut response.header);
        Ok(Response::new(response))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let request = request.into_inner();
        check_txn(&request)?;
        check_size(&request)?;
        let mut response = if is_read_only(&request) {
            if !(is_serializable(&request.success) && is_serializable(&request.failure)) {
                self.node.linearize().await?;
            }
            self.node.state().mvcc().read_txn(&request)?
        } else {
            expect_reply!(self.node.propose(Change::Txn(request)).await?, Txn)?
        };
        self.node.complete(&mut response.header);
        Ok(Response::new(response))
    }

    async fn compact(&self, request: Request<CompactionRequest>) -> Result<Response<CompactionResponse>, Status> {
        let mut response = expect_reply!(self.node.propose(Change::Compact(request.into_inner())).await?, Compact)?;
        self.node.complete(&mut response.header);
        Ok(Response::new(response))
    }
}
