//! Finds what got lost between the regions, and takes it over: anti-entropy.
//!
//! Deltas come through the other region's Kafka, which loses none as long as it keeps them. A region that was away for longer, or whose Kafka or
//! outbox was lost, is repaired here: both ask each other for digests of all carts, and for the whole states where they differ. Merging a
//! state twice does nothing, so this needs no care about what else is on its way.

use std::time::Duration;

use proto::cart::v1::{
    GetDigestsRequest, GetDigestsResponse, ListCartsRequest, ListCartsResponse, cart_peer_service_client::CartPeerServiceClient,
    cart_peer_service_server::CartPeerService,
};
use rpc::{Client, Failure};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::{
    error::Error,
    metrics,
    notices::Notices,
    peer,
    store::{self, Told},
};

/// A cart that changed within this part of the interval is left out: its change is on the way.
const RESTS: u32 = 3;

/// Answers the other region's questions.
pub(crate) struct Answers(pub(crate) PgPool);

#[tonic::async_trait]
impl CartPeerService for Answers {
    async fn get_digests(&self, request: Request<GetDigestsRequest>) -> Result<Response<GetDigestsResponse>, Status> {
        let rested = Duration::from_millis(request.into_inner().rested_ms.into());
        let digests = store::digests(&self.0, rested).await?;
        Ok(Response::new(GetDigestsResponse { digests }))
    }

    async fn list_carts(&self, request: Request<ListCartsRequest>) -> Result<Response<ListCartsResponse>, Status> {
        let ListCartsRequest { bucket, after_cart_id } = request.into_inner();
        let carts = store::list(&self.0, bucket, &after_cart_id).await?;
        let carts = carts.into_iter().map(|(cart_id, state)| proto::cart::v1::CartState { cart_id, state }).collect();
        Ok(Response::new(ListCartsResponse { carts }))
    }
}

/// Why a comparison came to no end. The next one begins anew.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error("ask the other region: {}", .0.message)]
    Peer(Failure),
    #[error("use the own database")]
    Own(#[from] Error),
    #[error("the other region's cart {0} makes no sense: {1}")]
    Nonsense(String, String),
}

impl From<Status> for Interrupted {
    fn from(status: Status) -> Self {
        Self::Peer(status.into())
    }
}

/// Compares with the other region now and then, until `shutdown`.
pub(crate) async fn run(pool: PgPool, peer: Client, notices: Notices, every: Duration, shutdown: CancellationToken) {
    let mut peer = CartPeerServiceClient::new(peer);
    while shutdown.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        let compared = Box::pin(compare(&pool, &mut peer, &notices, every / RESTS));
        match shutdown.run_until_cancelled(compared).await {
            Some(Ok(0)) | None => {}
            Some(Ok(repaired)) => {
                metrics::count_repaired(repaired);
                tracing::info!(carts = repaired, "changes of the other region that had not come are taken over");
            }
            Some(Err(error @ Interrupted::Peer(_))) => tracing::debug!(%error, "carts are compared later"),
            Some(Err(error)) => tracing::warn!(%error, "carts are compared later"),
        }
    }
}

/// Takes over what the other region has and this one has not. How many carts that made other than before.
async fn compare(
    pool: &PgPool,
    peer: &mut CartPeerServiceClient<Client>,
    notices: &Notices,
    rested: Duration,
) -> Result<usize, Interrupted> {
    let rested_ms = u32::try_from(rested.as_millis()).unwrap_or(u32::MAX);
    let theirs = peer.get_digests(GetDigestsRequest { rested_ms }).await?.into_inner().digests;
    let own = store::digests(pool, rested).await?;
    let mut repaired = 0;
    for (bucket, _) in theirs.into_iter().filter(|(bucket, digest)| own.get(bucket) != Some(digest)) {
        repaired += take_over(pool, peer, notices, bucket).await?;
    }
    Ok(repaired)
}

async fn take_over(pool: &PgPool, peer: &mut CartPeerServiceClient<Client>, notices: &Notices, bucket: u32) -> Result<usize, Interrupted> {
    let (mut repaired, mut after_cart_id) = (0, String::new());
    loop {
        let carts = peer.list_carts(ListCartsRequest { bucket, after_cart_id }).await?.into_inner().carts;
        let Some(last) = carts.last() else { return Ok(repaired) };
        after_cart_id = last.cart_id.clone();
        let told = carts.into_iter().map(|cart| {
            let nonsense = |error: String| Interrupted::Nonsense(cart.cart_id.clone(), error);
            let id = cart.cart_id.parse().map_err(|error: ids::InvalidId| nonsense(error.to_string()))?;
            Ok(Told { id, delta: peer::decode(&cart.state).map_err(nonsense)?, order_id: None, answer: None })
        });
        let told = told.collect::<Result<_, Interrupted>>()?;
        let mut tx = pool.begin().await.map_err(Error::from)?;
        let merged = store::merge_in(&mut tx, told).await?;
        tx.commit().await.map_err(Error::from)?;
        repaired += merged.len();
        merged.into_iter().for_each(|stand| notices.tell(stand));
    }
}
