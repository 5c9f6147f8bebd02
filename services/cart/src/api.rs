//! `cart.v1.CartService`: decode, call, encode.

use ids::{SessionId, Sku};
use proto::cart::v1::{
    self as wire, AbsorbCartRequest, AbsorbCartResponse, CheckOutRequest, CheckOutResponse, GetCartRequest, GetCartResponse,
    RemoveLineRequest, RemoveLineResponse, SetLineRequest, SetLineResponse, cart_service_server::CartService,
};
use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status};

use crate::{
    domain::Command,
    error::Error,
    events, metrics,
    notices::Notices,
    store::{Bought, Carts, Changed, Keyed},
};

/// Answers the RPCs.
pub(crate) struct Api {
    pub(crate) carts: Carts,
    pub(crate) notices: Notices,
}

#[tonic::async_trait]
impl CartService for Api {
    async fn get_cart(&self, request: Request<GetCartRequest>) -> Result<Response<GetCartResponse>, Status> {
        let id = decode_id(&request.into_inner().cart_id)?;
        let cart = self.carts.get(id).await?;
        Ok(Response::new(GetCartResponse { cart: Some(events::cart(&cart)) }))
    }

    async fn set_line(&self, request: Request<SetLineRequest>) -> Result<Response<SetLineResponse>, Status> {
        let request = request.into_inner();
        let keyed = keyed("set", &request.idempotency_key, SetLineRequest { idempotency_key: String::new(), ..request.clone() })?;
        let line = request.line.ok_or_else(|| malformed("line is required"))?;
        let command = Command::SetLine { sku: decode_sku(&line.sku)?, quantity: line.quantity };
        let cart = self.apply(&request.cart_id, command, keyed).await?;
        Ok(Response::new(SetLineResponse { cart: Some(cart) }))
    }

    async fn remove_line(&self, request: Request<RemoveLineRequest>) -> Result<Response<RemoveLineResponse>, Status> {
        let request = request.into_inner();
        let keyed = keyed("remove", &request.idempotency_key, RemoveLineRequest { idempotency_key: String::new(), ..request.clone() })?;
        let command = Command::RemoveLine { sku: decode_sku(&request.sku)? };
        let cart = self.apply(&request.cart_id, command, keyed).await?;
        Ok(Response::new(RemoveLineResponse { cart: Some(cart) }))
    }

    async fn absorb_cart(&self, request: Request<AbsorbCartRequest>) -> Result<Response<AbsorbCartResponse>, Status> {
        let request = request.into_inner();
        let keyed = keyed("absorb", &request.idempotency_key, AbsorbCartRequest { idempotency_key: String::new(), ..request.clone() })?;
        // Not locked: what is put into it later can be taken in later.
        let from = self.carts.get(decode_id(&request.from_cart_id)?).await?;
        let cart = self.apply(&request.cart_id, Command::Absorb { from: from.id, state: from.state }, keyed).await?;
        Ok(Response::new(AbsorbCartResponse { cart: Some(cart) }))
    }

    /// Idempotent by its order, so the key of the step has nothing to add.
    async fn check_out(&self, request: Request<CheckOutRequest>) -> Result<Response<CheckOutResponse>, Status> {
        let request = request.into_inner();
        let order_id = request.order_id.parse().map_err(malformed)?;
        let line = |line: proto::market::v1::Line| Ok((decode_sku(&line.sku)?, line.quantity));
        let lines = request.lines.into_iter().map(line).collect::<Result<_, Error>>()?;
        let changed = self.carts.check_out(Bought { id: decode_id(&request.cart_id)?, order_id, lines }).await?;
        Ok(Response::new(CheckOutResponse { cart: Some(self.told(changed)) }))
    }
}

impl Api {
    async fn apply(&self, cart_id: &str, command: Command, keyed: Option<Keyed>) -> Result<wire::Cart, Error> {
        let changed = self.carts.apply(decode_id(cart_id)?, command, keyed).await?;
        Ok(self.told(changed))
    }

    /// The cart; what happened to it is counted and told.
    fn told(&self, Changed { cart, stand, event }: Changed) -> wire::Cart {
        if let Some(event) = &event {
            metrics::count(event);
            self.notices.tell(stand);
        }
        cart
    }
}

/// The request's key, if it has one, with the hash of all the rest of it.
fn keyed(operation: &str, key: &str, rest: impl prost::Message) -> Result<Option<Keyed>, Error> {
    if key.is_empty() {
        return Ok(None);
    }
    let request_hash = Sha256::new().chain_update(operation).chain_update([0]).chain_update(rest.encode_to_vec()).finalize().to_vec();
    Ok(Some(Keyed { key: key.parse().map_err(malformed)?, request_hash }))
}

fn malformed(error: impl std::fmt::Display) -> Error {
    Error::Malformed(error.to_string())
}

fn decode_id(cart_id: &str) -> Result<SessionId, Error> {
    cart_id.parse().map_err(|_| malformed("cart_id must be 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-'"))
}

fn decode_sku(sku: &str) -> Result<Sku, Error> {
    sku.parse().map_err(malformed)
}
